import math
from dataclasses import replace
from typing import Any

import pytest

from kcloud_autoscale.act.status import Outcome, broken_status, phase_of, workload_status
from kcloud_autoscale.api.workload_status import WorkloadOptimizerStatus
from kcloud_autoscale.domain.decision import ConditionFact, ScaleOutcome, Stage, Step
from kcloud_autoscale.domain.observation import WorkloadObservation
from kcloud_autoscale.domain.reading import Missing, MissingReason
from kcloud_autoscale.domain.series import AskedModel, LiveScores
from kcloud_autoscale.domain.state import WriteRefusal
from kcloud_autoscale.domain.workload import Mode
from tests.unit.act.outcomes import FACTS, KEY, NOW, account, decision, observation, outcome, remembered, result


def test_every_number_has_a_source():
    status = workload_status(outcome(), {}, remembered(1))
    assert (status["replicas"], status["readyReplicas"], status["desiredReplicas"]) == (2, 2, 3)
    assert (status["currentCost"], status["currentPower"]) == (20.0, 1400.0)  # 2 * 10 $/h
    assert (status["assignedNode"], status["placement"]) == ("gpu-0", [{"node": "gpu-0", "replicas": 2}])
    assert status["target"] == "Deployment/llm"
    assert (status["originalReplicas"], status["observedGeneration"]) == (1, 4)
    assert status["forecast"]["peak"] == 40.0  # the 0.9 quantile
    assert status["budget"]["remaining"] == 60.0
    assert (status["savings"]["usd"], status["savings"]["watts"]) == (3.0, 600.0)
    assert status["optimizationScore"] == 0.95


def test_the_scores_of_the_forecast_are_written_and_absent_until_known():
    forecast = decision().forecast
    assert forecast is not None
    assert "error" not in workload_status(outcome(), {}, remembered(1))["forecast"]
    scored = replace(forecast, scores=LiveScores(0.95, 0.9375, 1.25, 2.5, 0.625, 192.0))
    status = workload_status(outcome(decision=decision(forecast=scored)), {}, remembered(1))
    assert status["forecast"]["error"] == {
        "quantile": 0.95,
        "coverage": 0.9375,
        "pinball": 1.25,
        "pinballLastValue": 2.5,
        "mase": 0.625,
        "windows": 192.0,
    }
    endless = replace(forecast, scores=LiveScores(0.95, 1.0, 0.1, 0.0, math.inf, 192.0))
    status = workload_status(outcome(decision=decision(forecast=endless)), {}, remembered(1))
    assert "mase" not in status["forecast"]["error"]


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (AskedModel("ETS", True), {"model": "ETS", "fitted": True, "weight": 0.25}),
        (AskedModel("STL", True), {"model": "STL", "fitted": True, "weight": 0.0}),
        (AskedModel("ETS", False, "not yet"), {"model": "ETS", "fitted": False, "weight": 0.25, "message": "not yet"}),
    ],
)
def test_the_model_that_was_asked_for_is_told_with_its_say(asked: AskedModel, told: dict[str, Any]):
    forecast = decision().forecast
    assert forecast is not None
    asking = replace(forecast, weights=(("ridge", 0.75), ("ETS", 0.25)), asked=asked)
    status = workload_status(outcome(decision=decision(forecast=asking)), {}, remembered(1))
    assert status["forecast"]["asked"] == told
    assert "asked" not in workload_status(outcome(), {}, remembered(1))["forecast"]


def test_the_decision_is_told_from_its_inputs_to_its_outcome():
    last = workload_status(outcome(), {}, remembered(1))["lastDecision"]
    assert (last["id"], last["reason"], last["message"]) == ("d1", "MaxCostPerHour", "4 would cost 40.0 $/h")
    assert last["inputs"] == [{"name": "demand_per_second", "value": 38.1235, "ageSeconds": 3.0}]
    assert [(step["before"], step["after"]) for step in last["steps"]] == [(2, 4), (4, 3)]
    assert last["caps"] == [{"name": "maxCostPerHour", "limit": 30.0, "used": 30.0, "binding": True}]


def test_what_has_no_source_is_absent():
    unknown = Missing(MissingReason.NO_DATA, "no such Deployment")
    bare = outcome(
        result=None,
        seen=WorkloadObservation(KEY, unknown),
        decision=decision(
            current_replicas=None, desired_replicas=None, forecast=None, level=None, steps=(), caps=(), inputs=()
        ),
        account=account(actual=None, baseline=None, score=None, budget=None),
    )
    status = workload_status(bare, {}, remembered(None))
    absent = {
        "replicas",
        "readyReplicas",
        "desiredReplicas",
        "currentCost",
        "currentPower",
        "assignedNode",
        "placement",
    }
    absent |= {"optimizationScore", "forecast", "budget", "originalReplicas", "target", "lastOptimizationTime"}
    assert not absent & status.keys()
    assert "watts" not in status["savings"]


def test_the_schema_accepts_what_is_written():
    status = workload_status(outcome(), {}, remembered(1))
    again = WorkloadOptimizerStatus.model_validate(status).model_dump(by_alias=True, exclude_none=True, mode="json")
    assert again == status


def test_the_last_change_is_remembered_when_nothing_changes():
    before = {"lastOptimizationTime": "2026-01-01T00:00:00Z"}
    assert (
        workload_status(outcome(result=None), before, remembered(1))["lastOptimizationTime"] == "2026-01-01T00:00:00Z"
    )
    now = workload_status(outcome(), before, remembered(1))["lastOptimizationTime"]
    assert now == "2027-01-15T08:00:00Z"


def test_a_failed_write_is_not_ready():
    fact = ConditionFact("Ready", False, "ScaleRefused", "forbidden")
    conditions = workload_status(outcome(facts=(fact,)), {}, remembered(1))["conditions"]
    assert [(one["status"], one["reason"]) for one in conditions if one["type"] == "Ready"] == [
        ("False", "ScaleRefused")
    ]


def _facts(**statuses: bool) -> tuple[ConditionFact, ...]:
    return tuple(replace(fact, status=statuses.get(fact.type, fact.status)) for fact in FACTS)


@pytest.mark.parametrize(
    ("changed", "phase"),
    [
        (outcome(), "Optimizing"),
        (outcome(decision=decision(desired_replicas=2)), "Optimized"),
        (outcome(decision=decision(desired_replicas=2, ready_replicas=1)), "Optimizing"),
        (outcome(decision=decision(conditions=_facts(Conflict=True))), "Failed"),
        (outcome(decision=decision(desired_replicas=None, conditions=_facts(TargetFound=False))), "Failed"),
        (outcome(decision=decision(desired_replicas=None, conditions=())), "Pending"),
        (outcome(policy=replace(outcome().policy, mode=Mode.RECOMMEND)), "Suspended"),
        (outcome(decision=decision(hold_reason="Paused", current_replicas=0, desired_replicas=0)), "Suspended"),
    ],
)
def test_phase(changed: Outcome, phase: str):
    assert phase_of(changed, {}) == phase


@pytest.mark.parametrize("reason", ["MetricsUnknown", "Fallback"])
def test_nothing_is_optimized_while_nothing_is_known(reason: str):
    blind = outcome(decision=decision(desired_replicas=2, hold_reason=reason))
    known = {"phase": "Optimized", "conditions": [{"type": "Ready", "status": "True"}]}
    assert phase_of(blind, known) == "Failed"
    assert phase_of(blind, {}) == "Pending"  # a new workload has not been scraped yet
    assert phase_of(replace(blind, policy=replace(blind.policy, mode=Mode.RECOMMEND)), known) == "Failed"


def test_an_invalid_spec_changes_nothing_but_what_it_says():
    before: dict[str, Any] = {"originalReplicas": 2, "savings": {"usd": 3.0}, "phase": "Optimized"}
    status = broken_status(before, "InvalidSpec", "spec.autoScaling.maxReplicas 0 is below 1", 5, NOW)
    assert (status["phase"], status["originalReplicas"], status["savings"]) == ("Failed", 2, {"usd": 3.0})
    assert status["conditions"][0]["reason"] == "InvalidSpec"
    assert "maxReplicas 0" in status["conditions"][0]["message"]


def test_pods_that_failed_hold_no_node():
    assert workload_status(outcome(seen=observation()), {}, remembered(1))["replicas"] == 2


@pytest.mark.parametrize("what", list(ScaleOutcome))
def test_what_became_of_the_action_is_told_and_only_a_write_is_told_as_done(what: ScaleOutcome):
    before = {"lastOptimizationTime": "2026-01-01T00:00:00Z"}
    status = workload_status(outcome(result=result(what, "in words")), before, remembered(1))
    told = status["lastDecision"]
    assert (told["outcome"], told["outcomeMessage"]) == (what.value, "2 -> 3 replicas: in words")
    done = what is ScaleOutcome.WRITTEN
    assert told.get("writtenReplicas") == (3 if done else None)
    assert (status["lastOptimizationTime"] == "2027-01-15T08:00:00Z") is done


def test_a_write_that_is_not_tried_again_yet_is_told_as_refused():
    steps = (Step(Stage.STAGE, 3, 2, "WriteRefused", "no"),)
    kept = remembered(1)
    refusal = WriteRefusal(NOW - 60.0, 1, 2, 3, "Refused", "quota exceeded")
    state = replace(kept, decided=replace(kept.decided, refusal=refusal))
    told = workload_status(outcome(result=None, decision=decision(steps=steps)), {}, state)["lastDecision"]
    assert told["outcome"] == "Refused"
    assert told["outcomeMessage"] == "2 -> 3 replicas, not tried again yet: quota exceeded"
    # Nothing is refused to a decision that did not want to write.
    assert "outcome" not in workload_status(outcome(result=None), {}, state)["lastDecision"]


def test_a_dry_run_changes_nothing_and_is_not_told_as_changing():
    assert phase_of(outcome(result=result(ScaleOutcome.DRY_RUN)), {}) == "Suspended"
