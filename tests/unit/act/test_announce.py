from dataclasses import replace
from typing import Any

import pytest

from kcloud_autoscale.act.announce import events_of
from kcloud_autoscale.act.events import ObjectRef
from kcloud_autoscale.act.status import Outcome
from kcloud_autoscale.domain.decision import ConditionFact, ScaleAction, ScaleOutcome, ScaleResult, Stage, Step
from kcloud_autoscale.domain.series import AskedModel
from tests.unit.act.outcomes import KEY, TARGET, account, decision, outcome

REF = ObjectRef("kcloud.io/v1alpha1", "WorkloadOptimizer", "ai", "llm", "u1")
QUIET = {"decision": decision(caps=()), "account": account(budget=None)}
TRUSTED = {"conditions": [{"type": "ForecastTrusted", "status": "True"}]}


def reasons(changed: Outcome, result: ScaleResult | None = None, previous: dict[str, Any] | None = None) -> list[str]:
    return [event.reason for event in events_of(REF, changed, result, previous or {})]


def result(wanted: int, outcome_: ScaleOutcome = ScaleOutcome.WRITTEN) -> ScaleResult:
    action = ScaleAction(KEY, "d1", TARGET, "t1", "7", 2, wanted, 1, 10, "ForecastNeed")
    written = wanted if outcome_ is ScaleOutcome.WRITTEN else None
    return ScaleResult(action, outcome_, "in words", written)


def test_a_quiet_cycle_says_nothing():
    assert reasons(outcome(**QUIET)) == []


def test_a_scaling_tells_from_where_to_where_and_why():
    (event,) = events_of(REF, outcome(**QUIET), result(3), {})
    assert event.reason == "ScaledUp"
    assert event.note == "Deployment llm: 2 -> 3 replicas. 4 would cost 40.0 $/h (decision d1)"
    assert not event.lasting
    assert reasons(outcome(**QUIET), result(1)) == ["ScaledDown"]


def test_a_restoration_tells_of_the_deletion_and_not_of_the_mode():
    text = "the optimizer was deleted: its original count is 2"
    steps = (Step(Stage.GUARD, 6, 6, "Restored"), Step(Stage.SIZE, 6, 2, "Restored", text))
    off = decision(steps=steps)
    back = result(2)
    back = replace(back, action=replace(back.action, from_replicas=6, reason="Restored"))
    (event,) = events_of(REF, outcome(decision=replace(off, caps=()), account=None), back, {})
    assert event.reason == "ScaledDown"
    told = "Deployment llm: 6 -> 2 replicas. The optimizer was deleted: its original count of 2 is restored"
    assert event.note == f"{told} (decision d1)"


@pytest.mark.parametrize(
    ("what", "says"),
    [
        (ScaleOutcome.STALE, []),
        (ScaleOutcome.DEFERRED, []),
        (ScaleOutcome.DRY_RUN, []),
        (ScaleOutcome.REFUSED, ["ScaleFailed"]),
        (ScaleOutcome.FAILED, ["ScaleFailed"]),
    ],
)
def test_only_a_refusal_is_worth_a_warning(what: ScaleOutcome, says: list[str]):
    assert reasons(outcome(**QUIET), result(3, what)) == says


def test_optimized_is_said_once_when_it_is_reached():
    reached = outcome(decision=decision(desired_replicas=2, caps=()), account=account(budget=None))
    assert reasons(reached, previous={"phase": "Optimizing"}) == ["WorkloadOptimized"]
    assert reasons(reached, previous={"phase": "Optimized"}) == []


def test_a_cap_that_binds_and_a_budget_that_runs_out_are_series():
    events = list(events_of(REF, outcome(), None, {}))
    assert [(event.reason, event.lasting) for event in events] == [("CapReached", True), ("BudgetProjected", True)]
    assert "3 replicas instead of 4: maxCostPerHour 30." in events[0].note


def test_conflict_and_missing_target_are_warnings():
    facts = (
        ConditionFact("Conflict", True, "OtherAutoscaler", "HPA llm scales the same target"),
        ConditionFact("TargetFound", False, "TargetNotFound", "Deployment ai/llm not found"),
    )
    events = list(events_of(REF, outcome(decision=decision(caps=(), conditions=facts), account=None), None, {}))
    assert [(event.reason, event.warning) for event in events] == [("Conflict", True), ("TargetNotFound", True)]


BLIND = (
    ConditionFact("Ready", False, "MetricsUnknown", "unknown: demand (NoData)"),
    ConditionFact("MetricsAvailable", False, "NoData", "demand: the query returned no series"),
)
LOOKED_AT = {"phase": "Optimized", "conditions": [{"type": "Ready", "status": "True"}]}


@pytest.mark.parametrize("reason", ["MetricsUnknown", "Fallback"])
def test_a_decision_without_data_is_a_warning_and_nothing_optimized(reason: str):
    held = decision(desired_replicas=2, hold_reason=reason, conditions=BLIND, caps=())
    (event,) = events_of(REF, outcome(decision=held, account=None), None, LOOKED_AT | {"phase": "Optimizing"})
    assert (event.reason, event.warning, event.lasting) == ("MetricsUnknown", True, True)
    assert event.note == "2 replicas are held, NoData: demand: the query returned no series (decision d1)"


def test_a_first_look_that_finds_no_metrics_yet_is_no_news():
    held = decision(desired_replicas=2, hold_reason="MetricsUnknown", conditions=BLIND, caps=())
    assert reasons(outcome(decision=held, account=None), previous={}) == []


def test_a_fallback_is_news_only_where_the_forecast_was_trusted():
    lost = decision(caps=(), conditions=(ConditionFact("ForecastTrusted", False, "CoverageDrift", "drifted"),))
    changed = outcome(decision=lost, account=None)
    assert reasons(changed, previous=TRUSTED) == ["ForecastFallback"]
    assert reasons(changed) == []


@pytest.mark.parametrize(
    ("now", "before", "says"),
    [
        (AskedModel("ETS", False, "it took longer than 60 s"), {"model": "ETS", "fitted": True}, ["ModelFitFailed"]),
        (AskedModel("ETS", True, "it did not converge"), {"model": "ETS", "fitted": True}, ["ModelFitFailed"]),
        (AskedModel("ETS", True, "it did not converge"), {"model": "ETS", "fitted": True, "message": "the same"}, []),
        (AskedModel("ETS", False, "it needs 60 steps"), {"model": "ETS", "fitted": False, "message": "not yet"}, []),
        (AskedModel("STL", False, "not yet"), {"model": "ETS", "fitted": True}, []),
        (AskedModel("ETS", True), {"model": "ETS", "fitted": True}, []),
    ],
)
def test_a_fit_that_fails_is_news_where_the_model_had_spoken(now: AskedModel, before: dict[str, Any], says: list[str]):
    forecast = replace(decision().forecast, asked=now)  # type: ignore[type-var]
    changed = outcome(decision=decision(caps=(), forecast=forecast), account=None)
    assert reasons(changed, previous={"forecast": {"asked": before}}) == says
