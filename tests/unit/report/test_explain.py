"""The last decision in words: every state a status can be in, told from the status alone."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kcloud_autoscale.act.status import broken_status, workload_status
from kcloud_autoscale.api.conditions import CONDITION_TYPES, rfc3339
from kcloud_autoscale.api.workload_status import WorkloadOptimizerStatus
from kcloud_autoscale.decide.conditions import facts_without_target
from kcloud_autoscale.domain.capacity import CapacityAtLeast
from kcloud_autoscale.domain.decision import (
    CapState,
    ConditionFact,
    Decision,
    Input,
    Proposal,
    ScaleOutcome,
    Stage,
    Step,
)
from kcloud_autoscale.domain.reading import Missing, MissingReason
from kcloud_autoscale.domain.series import AskedModel, LiveScores
from kcloud_autoscale.domain.state import Usage
from kcloud_autoscale.report.explain import Subject, explain
from kcloud_autoscale.report.phrases import WIDTH
from tests.unit.act.outcomes import FACTS, NOW, decision, outcome, remembered, result


def told(status: dict[str, Any], now: float = NOW + 14.0, generation: int | None = 4) -> str:
    return explain(Subject("ai/llm", generation), WorkloadOptimizerStatus.model_validate(status), now)


def told_of(**changes: Any) -> str:
    return told(workload_status(outcome(**changes), {}, remembered(2)))


def part(text: str, title: str) -> str:
    """One block, unfolded; it ends where the next line begins at the margin."""
    lines = text.splitlines()
    start = next((index for index, line in enumerate(lines) if line.startswith(title)), len(lines))
    rest = lines[start + 1 :]
    end = next((index for index, line in enumerate(rest) if line and not line.startswith(" ")), len(rest))
    return " ".join(" ".join(rest[:end]).split())


def held(reason: str, message: str, facts: tuple[ConditionFact, ...], **changes: Any) -> Decision:
    """2 replicas stay as they are."""
    steps = (Step(Stage.GUARD, 2, 2, reason, message), Step(Stage.SIZE, 2, 2, "Held"))
    nothing: dict[str, Any] = {"proposals": (), "caps": (), "level": None, "uncapped_replicas": 2}
    given: dict[str, Any] = {"desired_replicas": 2, "hold_reason": reason, "steps": steps, "conditions": facts}
    return decision(**(nothing | given | changes))


@pytest.mark.parametrize("what", [what for what in ScaleOutcome if what is not ScaleOutcome.WRITTEN])
def test_what_was_not_written_is_not_told_as_changed(what: ScaleOutcome) -> None:
    text = " ".join(told_of(result=result(what, "in words")).split())
    assert "Changed from" not in text
    assert (
        f"To be changed from 2 to 3 replicas, though 4 were asked for (MaxCostPerHour): {what}, 2 -> 3 replicas: "
        in text
    )


def test_what_waits_for_room_is_not_told_as_changed() -> None:
    steps = (Step(Stage.STAGE, 8, 3, "WaitsForRoom", "5 more wait"),)
    waits = decision(desired_replicas=8, proposals=(), steps=steps)
    assert "To be changed from 2 to 8 replicas (WaitsForRoom): 3 are written; 5 more wait." in told_of(decision=waits)
    nothing = told_of(decision=waits, result=None)
    assert "To be changed from 2 to 8 replicas (WaitsForRoom): nothing is written yet; 5 more wait." in nothing


def test_a_cut_decision_tells_its_whole_story() -> None:
    text = told_of()
    assert "Changed from 2 to 3 replicas, though 4 were asked for (MaxCostPerHour)." in text
    assert "Written 14 s ago, at 2027-01-15T08:00:00Z: decision d1, as in the Event and the log." in text
    assert "2 serve of 2 that exist" in part(text, "What runs")
    why = part(text, "What was wanted")
    assert "demand 38.1235 per second, read 3 s before" in why
    assert "forecast at most 40 per second within 6 min, at level 0.9 (hedge)" in why
    assert "trusted (Calibrated); 24.0 h of known demand behind it" in why
    assert "size 2 -> 4 ForecastNeed 40 per second at 10 each caps 4 -> 3 MaxCostPerHour" in why
    limits = part(text, "Limits")
    assert "maxCostPerHour 30.00 $/h, 30.00 $/h used - it cut this decision" in limits
    assert "They took 1 replica: 4 without them, 3 with them." in limits
    todo = part(text, "What to do")
    assert "maxCostPerHour leaves 3 of the 4 replicas that are wanted; 38.1235 per second meet" in todo
    # 30 $/h for 3 are 10 $/h each; 4 take 40 $/h.
    assert "To let all 4 run: raise spec.costConstraints.maxCostPerHour from 30 to 40 $/h." in todo
    assert "Nothing" not in todo


def test_where_no_limit_cuts_there_is_nothing_to_do() -> None:
    text = told_of(decision=decision(caps=(CapState("maxCostPerHour", 90.0, 40.0),), uncapped_replicas=3))
    assert part(text, "What to do") == "Nothing: every condition is as it should be."


def test_what_a_limit_costs_now_is_said() -> None:
    # At 10 per second each, 2 replicas serve 20.
    capped: dict[str, Any] = {"desired_replicas": 2, "uncapped_replicas": 5, "proposals": ()}
    capped["caps"] = (CapState("maxCostPerHour", 8.0, 8.0, binding=True),)
    short = told_of(decision=decision(**capped, inputs=(Input("demand_per_second", 45.0, 3.0),)))
    left = "maxCostPerHour leaves 2 of the 5 replicas that are wanted"
    assert f"{left}; 45 per second meet a capacity of 20: latency gives way." in part(short, "What to do")
    served = told_of(decision=decision(**capped, inputs=(Input("demand_per_second", 18.0, 3.0),)))
    assert f"{left}; the 18 per second of now are served: headroom gives way." in part(served, "What to do")
    unknown = told_of(decision=decision(**capped, inputs=()))
    assert f"{left}. To let all 5 run" in part(unknown, "What to do")


def test_a_capacity_that_was_never_exceeded_is_said_to_be_a_bound() -> None:
    capped: dict[str, Any] = {"desired_replicas": 2, "uncapped_replicas": 5, "proposals": ()}
    capped["caps"] = (CapState("maxCostPerHour", 8.0, 8.0, binding=True),)
    told = told_of(
        decision=decision(**capped, inputs=(Input("demand_per_second", 45.0, 3.0),), capacity=CapacityAtLeast(10.0))
    )
    assert "one replica serves at least 10 per second: no load seen so far missed the objective" in " ".join(
        told.split()
    )
    # 45 on 2 are more than has been seen, which is not to say that latency gives way.
    assert "maxCostPerHour leaves 2 of the 5 replicas that are wanted. To let" in part(told, "What to do")


@pytest.mark.parametrize(
    ("cap", "way"),
    [
        (
            CapState("team/costPerHourLimit", 8.0, 8.0, binding=True),
            "raise spec.costPerHourLimit of the CostPolicy team above 8.00 $/h, or this workload's spec.priority",
        ),
        (
            CapState("racks/maxPowerUsage", 900.0, 700.0, binding=True),
            "raise spec.maxPowerUsage of the PowerPolicy racks above 900.00 W, or this workload's spec.priority",
        ),
        (
            CapState("budgetLimit", 240.0, 200.0, binding=True),
            "raise spec.costConstraints.budgetLimit above 240.00 $",
        ),
    ],
)
def test_a_limit_that_needs_more_than_the_status_tells_names_its_field_and_the_rules_sentence(
    cap: CapState, way: str
) -> None:
    steps = (Step(Stage.CAPS, 4, 3, "SharedCap", f"{cap.name} is short; +12.00 $/h would serve all"),)
    todo = part(told_of(decision=decision(caps=(cap,), steps=steps)), "What to do")
    assert f"To let all 4 run: {way} ({cap.name} is short; +12.00 $/h would serve all)." in todo


def test_a_limit_whose_use_is_unknown_sends_to_what_is_not_known() -> None:
    todo = part(told_of(decision=decision(caps=(CapState("maxCostPerHour", 8.0, None, binding=True),))), "What to do")
    assert "What a replica takes of maxCostPerHour is not known, so nothing grows: see PriceKnown" in todo


def test_the_way_out_of_a_cap_that_is_only_recommended_counts_what_runs() -> None:
    advised = (ConditionFact("Ready", True, "Recommended", "mode Recommend writes nothing"), *FACTS[1:])
    # In mode Recommend the limit has to bear the 2 that run: 20 $/h, 10 $/h each.
    text = told_of(decision=decision(conditions=advised, caps=(CapState("maxCostPerHour", 30.0, 20.0, binding=True),)))
    said = "3 replicas recommended, though 4 were asked for (MaxCostPerHour), 2 run; mode Recommend writes nothing."
    assert said in " ".join(text.split())
    assert "from 30 to 40 $/h" in text


def test_max_replicas_names_the_field_and_the_number() -> None:
    steps = (Step(Stage.SIZE, 2, 14, "ForecastNeed"), Step(Stage.STABILIZE, 14, 10, "MaxReplicas", "maxReplicas is 10"))
    text = told_of(decision=decision(steps=steps, desired_replicas=10, uncapped_replicas=10, caps=()))
    todo = part(text, "What to do")
    assert "maxReplicas leaves 10 of the 14 replicas that are wanted; the 38.1235 per second of now are served" in todo
    assert "To let all 14 run: raise spec.autoScaling.maxReplicas from 10 to 14." in todo


def test_floors_above_a_cap_say_by_how_much() -> None:
    cap = CapState("power/maxPowerUsage", 1_000.0, 1_400.0, floor_excess=400.0)
    broken = ConditionFact("WithinCaps", False, "FloorsExceedCap", "minReplicas alone exceeds it by 400.00")
    text = told_of(decision=decision(caps=(cap,), uncapped_replicas=3, conditions=(*FACTS, broken)))
    assert "To keep to power/maxPowerUsage: raise it by 400.00 W, or lower minReplicas." in part(text, "Limits")
    assert "Lower spec.autoScaling.minReplicas or raise the limit" in part(text, "What to do")


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("maxCostPerHour", "$/h"),
        ("maxPowerUsage", "W"),
        ("budgetLimit", "$"),
        ("team/costPerHourLimit", "$/h"),
        ("team/maxPowerUsage", "W"),
        ("team/budgetLimit", "$"),
        ("team/monthlyBudget", "$"),
    ],
)
def test_every_limit_has_its_unit(name: str, unit: str) -> None:
    limits = part(told_of(decision=decision(caps=(CapState(name, 9_000.0, 1_820.0),))), "Limits")
    assert f"{name} 9,000.00 {unit}, 1,820.00 {unit} used" in limits


def test_unknown_metrics_say_what_since_when_and_what_to_do() -> None:
    message = "demand: the query returned no series"
    facts = (
        ConditionFact("Ready", False, "MetricsUnknown", "unknown: demand (NoData)"),
        *FACTS[1:],
        ConditionFact("MetricsAvailable", False, "NoData", message),
    )
    blind = held("MetricsUnknown", "unknown: demand (NoData)", facts, inputs=(Input("demand_per_second", None, None),))
    status = workload_status(outcome(decision=blind), {}, remembered(2))
    text = told(status, NOW + 7_300.0)
    # The rule said so when it held first; by now it is two hours, and the condition says of what.
    assert f"Held at 2 replicas for 2.0 h, MetricsUnknown: {message}." in text
    unknown = part(text, "What is not known")
    assert f"MetricsAvailable since {rfc3339(NOW)} (2.0 h): {message}" in unknown
    assert "demand_per_second no value" in unknown
    todo = part(text, "What to do")
    assert "MetricsAvailable=False (NoData) for 2.0 h" in todo
    assert "- Ready=False (MetricsUnknown) for 2.0 h It follows from the conditions below" in todo
    assert "unknown: demand" not in todo
    assert "whether spec.autoScaling.demand names its serving stack" in todo
    assert "The status is 2.0 h old" in todo


@pytest.mark.parametrize(
    ("message", "mend"),
    [
        ("demand: query: HTTP 400: bad_data: 1:5: parse error: unclosed left parenthesis; query: sum(", True),
        ("queue: query: HTTP 422: execution: many-to-many matching not allowed; query: a * b", True),
        ("demand: query: status 'error': bad_data: parse error; query: sum(", True),
        ("demand: Prometheus does not answer: http://prometheus does not answer: connection refused", False),
        ("demand: Prometheus does not answer: HTTP 400: no tenant; query: vector(1)", False),
        ("demand: demand (vllm): HTTP 503: unavailable; query: sum(x)", False),
    ],
)
def test_a_rejected_query_is_told_from_a_server_that_is_away(message: str, mend: bool) -> None:
    facts = (*FACTS, ConditionFact("MetricsAvailable", False, "SourceError", message))
    todo = part(told_of(decision=held("MetricsUnknown", "unknown: demand (SourceError)", facts)), "What to do")
    assert ("mend it in spec.autoScaling.demand.query (of demand)" in todo) is mend
    assert ("PROMETHEUS_URL" in todo) is not mend


def since(kind: str, status: str, reason: str, days: float) -> dict[str, Any]:
    """A condition that has its status for so many days."""
    when = rfc3339(NOW - days * 86_400.0)
    return {"type": kind, "status": status, "reason": reason, "message": "in words", "lastTransitionTime": when}


@pytest.mark.parametrize(
    ("reason", "before", "said"),
    [
        # Healthy for a month, held since now: nothing but the hold itself is new.
        ("Paused", [since("Ready", "True", "Paused", 30.0)], "Held at 2 replicas, Paused"),
        ("Off", [since("Ready", "True", "Off", 30.0)], "Held at 2 replicas, Off"),
        # One metric of two was unknown for five days, all of them for three.
        (
            "MetricsUnknown",
            [since("Ready", "False", "MetricsUnknown", 3.0), since("MetricsAvailable", "False", "NoData", 5.0)],
            "Held at 2 replicas for 3.0 days, MetricsUnknown",
        ),
        # First the metrics were unknown, then somebody else came.
        (
            "Conflict",
            [since("Ready", "False", "Conflict", 5.0), since("Conflict", "True", "OtherAutoscaler", 4.0)],
            "Held at 2 replicas for 4.0 days, Conflict",
        ),
    ],
)
def test_a_hold_is_as_old_as_what_holds(reason: str, before: list[dict[str, Any]], said: str) -> None:
    status = {"lastDecision": {"desiredReplicas": 2, "holdReason": reason}, "conditions": before}
    assert said in told(status, NOW)


def test_a_missing_target_says_where_it_was_looked_for() -> None:
    missing = Missing(MissingReason.NO_DATA, "Deployment ai/llm not found")
    lost = decision(
        current_replicas=None,
        desired_replicas=None,
        uncapped_replicas=None,
        steps=(),
        inputs=(),
        proposals=(),
        caps=(),
        level=None,
        hold_reason="TargetNotFound",
        conditions=facts_without_target(missing),
    )
    text = told_of(decision=lost, seen=None, account=None)
    assert "ai/llm  no target  Failed" in text
    assert "Nothing can be decided, TargetNotFound: Deployment ai/llm not found." in text
    unknown = part(text, "What is not known")
    assert unknown.count("not known without a target") == 1
    assert "(Conflict, MetricsAvailable, PriceKnown, PowerKnown, DevicesKnown, ForecastTrusted, " in unknown
    assert "WithinCaps, Schedulable)" in unknown
    todo = part(text, "What to do")
    assert "TargetFound=False" in todo
    assert "spec.targetRef" in todo


def test_a_conflict_is_bad_though_it_is_true() -> None:
    facts = (
        ConditionFact("Ready", False, "Conflict", "HorizontalPodAutoscaler llm scales the same target"),
        FACTS[1],
        ConditionFact("Conflict", True, "OtherAutoscaler", "HorizontalPodAutoscaler llm scales the same target"),
    )
    text = told_of(decision=held("Conflict", "HorizontalPodAutoscaler llm scales the same target", facts))
    assert "Held at 2 replicas for 14 s, Conflict: HorizontalPodAutoscaler llm scales the same target." in text
    assert "Conflict=True (OtherAutoscaler)" in part(text, "What to do")
    assert "Delete the other" in part(text, "What to do")


@pytest.mark.parametrize(
    ("reason", "message"),
    [
        ("Off", "mode Off: observed, never scaled"),
        ("Paused", "the target was set to 0 replicas by hand"),
        ("NothingToScaleOn", "no demand source is set: 2 replicas are held"),
    ],
)
def test_to_be_held_on_purpose_is_no_fault(reason: str, message: str) -> None:
    unasked = ConditionFact("ForecastTrusted", False, "NoForecast", "nobody has forecast this workload yet; reactive")
    facts = (ConditionFact("Ready", True, reason, message), *FACTS[1:3], unasked)
    text = told_of(decision=held(reason, message, facts))
    assert f"Held at 2 replicas, {reason}: {message}." in text
    assert "Nothing: every condition is as it should be." in text


def test_a_namespace_where_nothing_is_scaled_is_told_first_and_how_to_leave_it() -> None:
    excluded = ConditionFact("Ready", False, "NamespaceExcluded", "nothing is scaled in namespace kube-system: …")
    text = told(workload_status(outcome(facts=(excluded,)), {}, remembered(2)))
    assert text.splitlines()[1] == "Not scaled, NamespaceExcluded: nothing is scaled in namespace kube-system: …."
    assert "excludedNamespaces" in part(text, "What to do")


@pytest.mark.parametrize(
    ("source", "line"),
    [("vllm, found", "vllm, found: its metrics name the pods"), ("vllm", "vllm"), ("query", "query")],
)
def test_where_the_demand_is_read_is_told(source: str, line: str) -> None:
    status = {**workload_status(outcome(), {}, remembered(2)), "demandSource": source}
    (told_line,) = [each for each in told(status).splitlines() if "demand source" in each]
    assert told_line.split("demand source")[1].strip() == line


UNPRICED = (
    ConditionFact("PriceKnown", False, "NoData", "nobody exports a price of node :"),
    ConditionFact("PowerKnown", False, "NoData", "nobody exports the draw of node :"),
)


def test_the_price_of_a_replica_is_no_fault_while_none_runs() -> None:
    facts = (ConditionFact("Ready", True, "Paused", "scaled to 0 by hand"), *FACTS[1:3], *UNPRICED)
    paused = held("Paused", "set to 0 by hand", facts, current_replicas=0, desired_replicas=0, uncapped_replicas=0)
    text = told_of(decision=paused, account=None)
    assert "nobody exports" not in text
    assert part(text, "What to do") == "Nothing: every condition is as it should be."
    # With replicas it is, and so it is where no replica may run for want of a price.
    assert "PriceKnown=False" in part(told_of(decision=decision(conditions=(*FACTS, *UNPRICED))), "What to do")
    frozen = workload_status(
        outcome(
            decision=decision(
                current_replicas=0,
                desired_replicas=0,
                caps=(CapState("maxCostPerHour", 8.0, None, binding=True),),
                conditions=(*FACTS, *UNPRICED),
            )
        ),
        {},
        remembered(2),
    )
    assert "PriceKnown=False" in part(told(frozen | {"replicas": 0}), "What to do")


def test_an_object_that_is_being_deleted_is_said_to_be() -> None:
    off = held("Off", "mode Off: observed, never scaled", FACTS)
    restoring = ConditionFact("Ready", True, "Deleting", "the original count is restored, then the object is let go")
    status = workload_status(outcome(decision=off, facts=(restoring,)), {}, remembered(2))
    said = "the original count is restored, then the object is let go."
    assert told(status).splitlines()[1] == f"Being deleted: {said}"
    assert "Nothing: every condition is as it should be." in told(status)
    model = WorkloadOptimizerStatus.model_validate(status)
    subject = Subject("ai/llm", 4, datetime.fromtimestamp(NOW - 6.0, UTC))
    assert explain(subject, model, NOW + 14.0).splitlines()[1] == f"Being deleted for 20 s: {said}"
    # Nobody has anything to restore: somebody else's finalizer holds it.
    kept = WorkloadOptimizerStatus.model_validate(workload_status(outcome(), {}, remembered(2)))
    assert "Being deleted for 20 s: it stays until its finalizers are off." in explain(subject, kept, NOW + 14.0)
    later = part(explain(replace(subject, generation=5), kept, NOW + 7_200.0), "What to do")
    assert "kcloud.io/restore-replicas" in later
    assert "The status is" not in later
    assert "The spec has changed" not in later


def test_recommend_says_that_nothing_is_written() -> None:
    advised = (ConditionFact("Ready", True, "Recommended", "decided"), *FACTS[1:])
    same = decision(desired_replicas=2, uncapped_replicas=2, caps=(), conditions=advised, steps=(), proposals=())
    assert "2 replicas recommended, which is what runs; mode Recommend writes nothing." in told_of(decision=same)


def test_what_holds_a_count_above_the_need_is_said() -> None:
    steps = (Step(Stage.STABILIZE, 1, 2, "ScaleDownStabilized", "1 wanted; the largest of the last 300 s is 2"),)
    kept = decision(desired_replicas=2, uncapped_replicas=2, caps=(), steps=steps, proposals=(Proposal("forecast", 1),))
    assert "2 replicas stay ordered, though 1 was asked for (ScaleDownStabilized)." in told_of(decision=kept)


def test_a_rate_limit_is_no_way_out_of_a_cap() -> None:
    limit = Step(Stage.STABILIZE, 11, 6, "ScaleUpLimit", "11 wanted; the rate limit allows 6")
    alone = decision(steps=(limit,), desired_replicas=6, uncapped_replicas=6, caps=())
    assert "The way from 6 to 11 follows" in part(told_of(decision=alone), "Limits")
    capped = decision(steps=(limit, Step(Stage.CAPS, 6, 3, "MaxCostPerHour")), uncapped_replicas=6)
    assert "The way from" not in told_of(decision=capped)


def test_how_the_forecast_holds_is_said_in_numbers_or_not_known_yet() -> None:
    forecast = decision().forecast
    assert forecast is not None
    assert "how it holds is not known yet" in " ".join(told_of().split())
    scored = replace(forecast, scores=LiveScores(0.95, 0.9375, 1.25, 2.5, 0.625, 192.0))
    told = " ".join(told_of(decision=decision(forecast=scored)).split())
    assert "93.8% of recent peaks stayed within it, 95% are meant to" in told
    assert "errs 0.62 times as much as the last value (MASE)" in told
    assert "pinball loss 1.25 per second, the last value's 2.5" in told


def test_an_untrusted_forecast_says_who_decides() -> None:
    facts = (*FACTS[:3], ConditionFact("ForecastTrusted", False, "CoverageDrift", "decisions are reactive"))
    text = told_of(decision=decision(conditions=facts, level=None))
    assert "hedge, not used for the count" in text
    assert "NOT trusted: HPA's rule decides" in text
    assert "ForecastTrusted=False (CoverageDrift)" in part(text, "What to do")


@pytest.mark.parametrize(
    ("asked", "share", "told"),
    [
        (AskedModel("ETS", True), 0.25, "asked for ETS, which has 25% of the say"),
        (AskedModel("ETS", True), 0.0, "asked for ETS, which is not heard, the others are better"),
        (
            AskedModel("ETS", False, "it has not been fitted yet"),
            0.0,
            "asked for ETS, silent: it has not been fitted yet",
        ),
        (AskedModel("ETS", True, "it broke"), 0.25, "has 25% of the say; its last fit failed: it broke"),
    ],
)
def test_a_model_that_was_asked_for_is_told_with_its_say(asked: AskedModel, share: float, told: str) -> None:
    forecast = decision().forecast
    assert forecast is not None
    asking = replace(forecast, weights=(("ridge", 1.0 - share), ("ETS", share)), asked=asked)
    assert told in part(told_of(decision=decision(forecast=asking)), "What was wanted")


def test_a_write_that_failed_is_said_first() -> None:
    refused = ConditionFact("Ready", False, "ScaleRefused", "Deployment llm could not be scaled from 2 to 3: forbidden")
    text = told_of(facts=(refused,))
    assert "Decided, but not carried out: Deployment llm could not be scaled from 2 to 3: forbidden." in text
    assert "operator's role" in part(text, "What to do")


def test_a_broken_spec_keeps_the_last_decision_and_says_it_is_old() -> None:
    before = workload_status(outcome(), {}, remembered(2))
    text = told(broken_status(before, "InvalidSpec", "spec.autoScaling.minReplicas is 9", 5, NOW), generation=5)
    said = " ".join(text.split())
    assert "Nothing can be decided, InvalidSpec: nothing is scaled: spec.autoScaling.minReplicas is 9." in said
    assert "What follows was decided before that." in said
    assert "kcloud-autoscale validate" in part(text, "What to do")


def test_a_spec_changed_since_and_a_silent_operator_are_said() -> None:
    status = workload_status(outcome(), {}, remembered(2))
    todo = part(told(status, NOW + 700.0, generation=6), "What to do")
    assert "The status is 12 min old" in todo
    assert "generation 6, decided on 4" in todo
    assert "old" not in part(told(status, NOW + 600.0), "What to do")


def test_no_status_sends_to_the_operator() -> None:
    text = told({})
    assert "Nothing has been decided yet" in text
    assert "WATCH_NAMESPACE" in part(text, "What to do")


texts = st.text(st.characters(min_codepoint=32, max_codepoint=0x24F), min_size=1, max_size=300)
counts = st.integers(0, 10_000)
steps = st.fixed_dictionaries(
    {"stage": st.sampled_from([each.value for each in Stage]), "before": counts, "after": counts, "reason": texts},
    optional={"message": texts},
)
caps = st.fixed_dictionaries(
    {"name": st.sampled_from(["maxCostPerHour", "maxPowerUsage", "budgetLimit", "p/x"]), "limit": st.floats(0, 1e6)},
    optional={"used": st.floats(0, 1e6), "binding": st.booleans(), "floorExcess": st.floats(0, 1e6)},
)
every_condition = st.fixed_dictionaries(
    {
        "type": st.sampled_from([*CONDITION_TYPES, "Foreign"]),
        "status": st.sampled_from(["True", "False", "Unknown"]),
        "reason": texts,
        "message": texts,
        "lastTransitionTime": st.just(datetime(2027, 1, 15, 7, tzinfo=UTC)),
    }
)
decisions = st.fixed_dictionaries(
    {},
    optional={
        "id": texts,
        "time": st.just(datetime(2027, 1, 15, 8, tzinfo=UTC)),
        "currentReplicas": counts,
        "desiredReplicas": counts,
        "uncappedReplicas": counts,
        "reason": texts,
        "holdReason": texts,
        "inputs": st.lists(st.fixed_dictionaries({"name": texts}, optional={"value": st.floats(-1, 1e9)}), max_size=3),
        "proposals": st.lists(st.fixed_dictionaries({"name": texts, "replicas": counts}), max_size=3),
        "steps": st.lists(steps, max_size=4),
        "caps": st.lists(caps, max_size=4),
    },
)
statuses = st.fixed_dictionaries(
    {},
    optional={
        "phase": st.sampled_from(["Pending", "Optimizing", "Optimized", "Failed", "Suspended"]),
        "readyReplicas": counts,
        "currentCost": st.floats(0, 1e6),
        "forecast": st.fixed_dictionaries({}, optional={"model": texts, "peak": st.floats(0, 1e9), "reason": texts}),
        "budget": st.fixed_dictionaries({}, optional={"spent": st.floats(0, 1e9), "remaining": st.floats(0, 1e9)}),
        "lastDecision": decisions,
        "conditions": st.lists(every_condition, max_size=9, unique_by=lambda each: each["type"]),
    },
)


@given(statuses)
def test_any_status_is_explained_in_lines_that_fit_and_no_trouble_is_left_out(status: dict[str, Any]) -> None:
    text = told(status)
    assert text.startswith("ai/llm")
    for line in text.splitlines():
        assert len(line) <= WIDTH or len(max(line.split(), key=len)) > WIDTH // 4  # a long word is never cut
    for each in status.get("conditions", ()):
        if each["status"] == ("True" if each["type"] == "Conflict" else "False"):
            assert f"- {each['type']}={each['status']}" in text
    for step in status.get("lastDecision", {}).get("steps", ()):
        if step["before"] != step["after"]:
            assert f"{step['before']} -> {step['after']}" in text


def test_it_says_what_was_saved_and_what_only_looks_like_it() -> None:
    saved = part(told_of(), "What it saved")
    # 8 $ of the baseline - 5 $ of ours, of 6 $ spent in all.
    assert saved.startswith("Saved: 3.00 $ since 2027-01-15T07:00:00Z, 37.5% of the 8.00 $ that an HPA at 70 %")
    assert "Spent in all: 6.00 $." in saved
    assert "Unproven" not in saved
    account = outcome().account
    assert account is not None
    failing = replace(account, lacking=2, ledger=replace(account.ledger, unproven=Usage(usd=4.0)))
    text = part(told_of(account=failing), "What it saved")
    assert text.startswith("Spent more: 1.00 $")
    assert "Unproven: 4.00 $ more were not spent while less was served" in text
    assert "Now 2 replicas are lacking to serve as much as it would: nothing is saved until they serve." in text
