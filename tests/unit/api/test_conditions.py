from __future__ import annotations

from kcloud_autoscale.api.conditions import (
    CONFLICT,
    PRICE_KNOWN,
    READY,
    find_condition,
    merge_conditions,
    rfc3339,
)
from kcloud_autoscale.domain.decision import ConditionFact

THEN, NOW = 1_767_225_600.0, 1_767_225_660.9  # 2026-01-01T00:00:00Z and a minute later


def fact(
    name: str = READY, status: bool | None = True, reason: str = "Decided", message: str = "5 of 5"
) -> ConditionFact:
    return ConditionFact(name, status, reason, message)


def test_a_new_condition_has_just_changed():
    assert merge_conditions([], [fact()], NOW, 3) == [
        {
            "type": "Ready",
            "status": "True",
            "reason": "Decided",
            "message": "5 of 5",
            "lastTransitionTime": "2026-01-01T00:01:00Z",
            "observedGeneration": 3,
        }
    ]


def test_the_time_stays_while_the_status_does():
    before = merge_conditions([], [fact()], THEN, 3)
    after = merge_conditions(before, [fact(reason="Held", message="4 of 5")], NOW, 4)
    assert after[0]["lastTransitionTime"] == rfc3339(THEN)
    assert (after[0]["reason"], after[0]["message"], after[0]["observedGeneration"]) == ("Held", "4 of 5", 4)


def test_the_time_moves_with_the_status():
    before = merge_conditions([], [fact()], THEN, 3)
    for status, text in ((False, "False"), (None, "Unknown")):
        after = merge_conditions(before, [fact(status=status)], NOW, 3)
        assert (after[0]["status"], after[0]["lastTransitionTime"]) == (text, rfc3339(NOW))


def test_what_nothing_was_said_about_stays():
    before = merge_conditions([], [fact(CONFLICT, False), fact(PRICE_KNOWN)], THEN, 1)
    after = merge_conditions(before, [fact(CONFLICT, False)], NOW, 2)
    assert find_condition(after, PRICE_KNOWN) == find_condition(before, PRICE_KNOWN)


def test_the_order_is_the_same_whatever_comes_first():
    facts = [fact(PRICE_KNOWN), fact("Zebra"), fact(READY), fact("Aardvark"), fact(CONFLICT)]
    names = [condition["type"] for condition in merge_conditions([], facts, NOW, 1)]
    assert names == [READY, CONFLICT, PRICE_KNOWN, "Aardvark", "Zebra"]
    assert merge_conditions([], facts[::-1], NOW, 1) == merge_conditions([], facts, NOW, 1)


def test_the_same_facts_write_the_same_status():
    facts = [fact(), fact(CONFLICT, None)]
    once = merge_conditions([], facts, THEN, 1)
    assert merge_conditions(once, facts, NOW, 1) == once


def test_spoiled_conditions_are_replaced_or_dropped():
    spoiled = [{"type": "Ready", "status": "True"}, {"status": "True"}, {"type": "Half", "status": "True"}]
    (ready,) = merge_conditions(spoiled, [fact()], NOW, 1)
    assert ready["lastTransitionTime"] == rfc3339(NOW)


def test_a_condition_that_is_not_there_is_none():
    assert find_condition([], READY) is None
