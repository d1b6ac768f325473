"""A status that cannot be written as it is: what can be is, and a condition says what cannot."""

import json
import math
from typing import Any

import pytest

from kcloud_autoscale.act.rest import RequestError
from kcloud_autoscale.act.status_repair import RETRY_SECONDS, StatusRepair

STATUS = {
    "phase": "Optimizing",
    "desiredReplicas": 6,
    "observedGeneration": 2,
    "conditions": [],
    "lastDecision": {"id": "d1"},
    "forecast": {"peak": 40.0},
    "savings": {"usd": 3.0},
}


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


def refusal(*fields: str, status: int = 422) -> RequestError:
    return RequestError(status, "Invalid", "status is invalid", fields=fields)


def condition(status: dict[str, Any]) -> tuple[str, str] | None:
    found = next((one for one in status["conditions"] if one["type"] == "StatusWritten"), None)
    return None if found is None else (found["status"], found["message"])


def repair() -> tuple[StatusRepair, Clock]:
    clock = Clock()
    return StatusRepair(clock, lambda: 1_800_000_000.0), clock


def test_a_sound_status_is_written_as_it_is():
    mending, _ = repair()
    assert mending.writable("u", {}, STATUS) is not None
    assert mending.writable("u", {}, STATUS) == STATUS


def test_numbers_that_no_json_holds_are_left_out_and_named():
    mending, _ = repair()
    broken = {**STATUS, "savings": {"usd": math.inf, "watts": 3.0}, "misses": {"byPrice": [1.0, math.nan]},
              "lastDecision": {"proposals": [{"replicas": 10**24, "name": "forecast"}]}}  # fmt: skip
    got = mending.writable("u", {}, broken)
    json.dumps(got, allow_nan=False)
    assert got["savings"] == {"watts": 3.0}
    assert got["misses"] == {"byPrice": [1.0]}
    assert got["lastDecision"] == {"proposals": [{"name": "forecast"}]}
    said = condition(got)
    assert said is not None
    assert said[0] == "False"
    for path in ("savings.usd", "misses.byPrice[1]", "lastDecision.proposals[0].replicas"):
        assert path in said[1]


def test_a_part_that_is_blamed_stays_as_it_was_and_then_is_taken_off():
    mending, _ = repair()
    on_record = {"savings": {"usd": 1.0}}
    assert mending.refused("u", refusal("status.savings.usd"), STATUS)
    got = mending.writable("u", on_record, STATUS)
    assert (got["savings"], got["lastDecision"]) == ({"usd": 1.0}, {"id": "d1"})
    assert condition(got) is not None
    # It was not written, and is blamed again: what is on record is at fault.
    assert mending.refused("u", refusal("status.savings.usd"), STATUS)
    assert "savings" not in mending.writable("u", on_record, STATUS)
    assert mending.incomplete == 1


def test_without_a_named_field_the_dispensable_go_first_and_the_essentials_stay():
    mending, _ = repair()
    assert mending.refused("u", refusal(status=400), STATUS)
    got = mending.writable("u", {}, STATUS)
    assert "lastDecision" not in got
    assert got["savings"] == {"usd": 3.0}
    assert mending.refused("u", refusal(status=400), STATUS)
    got = mending.writable("u", {}, STATUS)
    assert got.keys() == {"phase", "desiredReplicas", "observedGeneration", "conditions"}
    assert mending.refused("u", refusal(status=400), STATUS)  # takes off what is on record
    assert not mending.refused("u", refusal(status=400), STATUS)


@pytest.mark.parametrize("status", [None, 403, 404, 409, 429, 500])
def test_what_is_not_about_the_content_is_not_mended(status: int | None):
    mending, _ = repair()
    assert not mending.refused("u", RequestError(status, "No", "no"), STATUS)
    assert mending.writable("u", {}, STATUS) == STATUS


def test_the_whole_is_tried_again_and_the_condition_heals():
    mending, clock = repair()
    mending.refused("u", refusal("status.savings.usd"), STATUS)
    got = mending.writable("u", {}, STATUS)
    clock.now += RETRY_SECONDS
    healed = mending.writable("u", got, {**STATUS, "conditions": got["conditions"]})
    assert healed["savings"] == {"usd": 3.0}
    said = condition(healed)
    assert said is not None
    assert said[0] == "True"
    assert mending.incomplete == 0


def test_objects_that_are_gone_are_forgotten():
    mending, _ = repair()
    mending.refused("u", refusal(status=413), STATUS)
    mending.forget({"u"})
    assert mending.incomplete == 0
