"""What Ready says of a decision that was not carried out."""

from __future__ import annotations

import pytest

from kcloud_autoscale.domain.decision import ScaleOutcome
from kcloud_autoscale.operator.record import LATE_SECONDS, not_written
from tests.unit.act.outcomes import NOW, result


@pytest.mark.parametrize(
    ("what", "ready"),
    [
        (ScaleOutcome.REFUSED, False),
        (ScaleOutcome.FAILED, False),
        (ScaleOutcome.GONE, False),
        (ScaleOutcome.STALE, True),
        (ScaleOutcome.DEFERRED, True),
        (ScaleOutcome.NOT_LEADER, True),
        (ScaleOutcome.DRY_RUN, True),
    ],
)
def test_it_names_the_outcome_and_the_write(what: ScaleOutcome, ready: bool):
    (fact,) = not_written(result(what, "in words"), NOW)
    assert (fact.type, fact.status, fact.reason) == ("Ready", ready, f"Scale{what}")
    assert fact.message.endswith("could not be scaled from 2 to 3: in words")


def test_what_was_written_needs_no_word():
    assert not_written(result(), NOW) == ()
    assert not_written(None, NOW) == ()


def test_whose_turn_does_not_come_for_minutes_is_not_ready():
    waits = result(ScaleOutcome.DEFERRED, waiting_since_seconds=NOW - LATE_SECONDS)
    assert not_written(waits, NOW)[0].status is False
    assert not_written(waits, NOW - 1.0)[0].status is True
