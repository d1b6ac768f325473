"""What would have been saved: judged on pasts made by hand, and said so that it can be checked."""

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from hack.load.queueing import Replica, flow_over, latency
from kcloud_autoscale.api.validate import check
from kcloud_autoscale.domain.capacity import CapacityAtLeast, KnownCapacity
from kcloud_autoscale.domain.observation import CapacityHistory
from kcloud_autoscale.domain.policy import MetricKind, MetricTarget, WorkloadPolicy
from kcloud_autoscale.domain.reading import Missing, MissingReason, Sample
from kcloud_autoscale.domain.series import DemandHistory
from kcloud_autoscale.domain.workload import TargetRef, WorkloadKey
from kcloud_autoscale.forecast.capacity import estimate, learn
from kcloud_autoscale.report.recommendation import (
    ACTUAL,
    CannotTell,
    Past,
    Recommendation,
    Terms,
    actual,
    capacity_of,
    judge,
    measured_misses,
    most_replicas,
)
from kcloud_autoscale.report.recommendation_text import as_json, manifest, manifest_yaml, text
from kcloud_autoscale.simulate.score import score
from kcloud_autoscale.simulate.world import Run, WorldRules

STEP = 600.0
DAY = 144  # steps of 600 s
UNKNOWN = Missing(MissingReason.NO_DATA, "no exporter has power of this workload's pods")


def past(days: float = 3.0, **changes: Any) -> Past:
    """A daily wave of 10 to 50 per second on 10 replicas of 10 per second each."""
    steps = round(days * DAY)
    wave = 30.0 - 20.0 * np.cos(2.0 * np.pi * np.arange(steps) / DAY)
    made = Past(
        key=WorkloadKey("ai", "llm"),
        target=TargetRef("apps/v1", "Deployment", "llm"),
        preset="vllm",
        demand=DemandHistory(0.0, STEP, wave),
        ready=np.full(steps, 10.0),
        capacity=KnownCapacity(10.0),
        startup_seconds=60.0,
        startup_source="learned",
        usd_per_replica_hour=Sample(2.0, 0.0),
        watts_per_replica=Sample(500.0, 0.0),
    )
    return replace(made, **changes)


def judged(given: Past, terms: Terms | None = None) -> Recommendation:
    found = judge(given, terms or Terms(days=1.0))
    assert isinstance(found, Recommendation)
    return found


def silent(given: Past, terms: Terms | None = None) -> CannotTell:
    found = judge(given, terms or Terms(days=1.0))
    assert isinstance(found, CannotTell)
    return found


def test_what_ran_stands_beside_what_would_have_run() -> None:
    found = judged(past())
    ran = found.outcomes[ACTUAL].score
    # 10 replicas for a day at 2 $/h and 500 W each: 240 h, 480 $, 120 kWh.
    assert (ran.replica_hours, ran.usd, ran.watt_hours) == (240.0, 480.0, 120_000.0)
    assert ran.violations == 0
    ours = found.outcomes["predictive"].score
    # The wave needs 3 replicas in the mean, 3.5 with whole ones.
    assert 72.0 < ours.replica_hours < 120.0
    assert list(found.outcomes) == ["predictive", ACTUAL, "hpa", "hpa-tuned"]
    # What an HPA could have saved at our misses stands beside what ours did.
    assert found.outcomes["hpa-tuned"].score.violations <= ours.violations
    assert (found.replayed_days, found.known_days) == (1.0, 3.0)


def test_a_third_of_a_short_history_is_only_learned_from() -> None:
    assert judged(past(3.0), Terms(days=7.0)).rules.history_steps == DAY
    assert judged(past(3.0), Terms(days=1.0)).rules.history_steps == 2 * DAY


def test_too_little_history_and_no_traffic_are_said() -> None:
    assert silent(past(0.5)).reason == "TooLittleHistory"
    assert "12.0 h of demand" in silent(past(0.5)).message
    quiet = past(demand=DemandHistory(0.0, STEP, np.zeros(3 * DAY)))
    assert silent(quiet).reason == "NoTraffic"
    # Three days of which all but ten hours are unknown are ten hours.
    holes = past().demand.values.copy()
    holes[60:] = np.nan
    assert silent(past(demand=DemandHistory(0.0, STEP, holes))).reason == "TooLittleHistory"


def test_a_load_that_ended_before_the_replayed_days_is_said() -> None:
    ended = past().demand.values.copy()
    ended[2 * DAY :] = np.nan
    found = silent(past(demand=DemandHistory(0.0, STEP, ended)))
    assert found.reason == "NoRecentDemand"
    assert found.message == "vllm has told no demand for 1.0 days: there is none in the days to replay"
    # With two days to replay, the first of them has a load.
    assert isinstance(judge(past(demand=DemandHistory(0.0, STEP, ended)), Terms(days=2.0)), Recommendation)


def test_what_cannot_be_simulated_is_said_of_that_workload_alone() -> None:
    found = silent(past(startup_seconds=math.inf))
    assert (found.reason, found.message) == ("NotReplayable", "startup seconds is inf, must be 0 or more")


def test_without_an_objective_the_busiest_load_bounds_the_capacity() -> None:
    given = past(capacity=None)
    capacity = capacity_of(given)
    assert isinstance(capacity, CapacityAtLeast)
    assert capacity.source == "busiest seen"
    assert capacity.per_replica == pytest.approx(5.0, abs=0.01)  # 50 on 10 replicas, but for the last hundredth
    found = judged(given)
    assert found.outcomes["predictive"].score.replica_hours < 240.0
    assert any("busiest 1 % of time" in note for note in found.notes)


@pytest.mark.parametrize(("proven", "latency_ms"), [(None, None), (4.9, 800.0)])
def test_what_ran_is_not_said_to_have_missed_what_it_may_have_served(
    proven: float | None, latency_ms: float | None
) -> None:
    # 50 per second on 10 replicas at noon: 5 each, more than the 4.9 that are counted with, and nobody saw a miss.
    given = past(capacity=None if proven is None else CapacityAtLeast(proven))
    found = judged(given, Terms(days=1.0, latency_ms=latency_ms))
    assert found.outcomes[ACTUAL].score.violations > 0
    told = text([found], [])
    (summary,) = [line for line in told.splitlines() if line.startswith("  ai/llm")]
    ours = found.outcomes["predictive"].score
    assert summary.split()[1:4] == ["-", "->", f"{ours.violation_fraction:.2%}"]
    (ran,) = [line for line in told.splitlines() if line.startswith("  actual")]
    assert ran.split()[:4] == ["actual", "-", "-", "240.0"]
    policies = json.loads(as_json([found], []))["workloads"][0]["policies"]
    assert (policies["actual"]["violatingFraction"], policies["actual"]["unservedFraction"]) == (None, None)
    assert policies["predictive"]["violatingFraction"] == ours.violation_fraction
    unknown = "what actual missed is not known" if latency_ms is None else "in too few steps to say what actual missed"
    assert any(unknown in note for note in found.notes)
    # A capacity that is known counts the misses of what ran.
    known = json.loads(as_json([judged(past(capacity=KnownCapacity(4.9)))], []))["workloads"][0]
    assert known["policies"]["actual"]["violatingFraction"] > 0.0


def test_a_bound_that_shows_no_saving_tells_nothing() -> None:
    # Replicas that followed the load at 7 each: nothing shows that one could serve more.
    followed = np.ceil(past().demand.values / 7.0)
    given = past(capacity=None, ready=followed)
    assert silent(given).reason == "CapacityUnknown"
    assert "give --latency-ms" in silent(given).message
    # An objective that was met all the time is not asked for again.
    met = silent(replace(given, capacity=CapacityAtLeast(7.0)), Terms(days=1.0, latency_ms=3000.0)).message
    assert "carried up to 7 per second and met 3000 ms" in met
    assert "give --capacity-per-replica" in met
    # Said by the user, the same capacity is taken at its word, and so is that nothing is to be gained.
    found = judged(replace(given, capacity=KnownCapacity(7.0)))
    assert not found.worthwhile
    why = "not recommended: against actual it saves less than 1% of the replica-hours and misses no fewer steps"
    assert why in found.notes
    assert "actual, not recommended" in text([found], [])
    assert text([found], []).endswith("Nothing to recommend.")
    (workload,) = json.loads(as_json([found], []))["workloads"]
    assert (workload["recommended"], workload["manifest"]) == (False, None)


@pytest.mark.parametrize(("share", "worthwhile"), [(0.995, False), (0.985, True)])
def test_a_saving_below_one_percent_is_no_reason_to_change(share: float, worthwhile: bool) -> None:
    found = judged(past())
    ours = found.outcomes["predictive"].score.replica_hours
    # Nobody missed anything, and ours are this share of the replica-hours that ran.
    ran = replace(found.outcomes[ACTUAL], score=replace(found.outcomes[ACTUAL].score, replica_hours=ours / share))
    assert replace(found, outcomes=found.outcomes | {ACTUAL: ran}).worthwhile is worthwhile


def test_fewer_misses_are_worth_a_change_where_they_are_known() -> None:
    # One replica of 9.5 per second under a wave of 10 to 50: what ran missed every step, at the least replica-hours.
    short = past(ready=np.full(3 * DAY, 1.0), capacity=KnownCapacity(9.5))
    found = judged(short)
    assert found.outcomes["predictive"].score.replica_hours > found.outcomes[ACTUAL].score.replica_hours
    assert found.worthwhile
    assert not replace(found, capacity=CapacityAtLeast(9.5)).worthwhile


def test_an_objective_that_was_never_met_teaches_nothing() -> None:
    given = past(capacity=None)
    assert "p95 was above 200 ms at every load seen" in silent(given, Terms(days=1.0, latency_ms=200.0)).message
    met = replace(given, capacity=CapacityAtLeast(8.0))
    assert judged(met, Terms(days=1.0, latency_ms=200.0)).capacity == CapacityAtLeast(8.0)


def test_capacity_is_unknown_where_neither_replicas_nor_objective_are_known() -> None:
    given = past(capacity=None, ready=np.full(3 * DAY, np.nan))
    assert capacity_of(given) is None
    assert silent(given).reason == "CapacityUnknown"


def test_what_ran_is_not_guessed_from_little() -> None:
    rules = WorldRules(10.0, 60.0, history_steps=2 * DAY)
    ready = np.full(3 * DAY, 4.0)
    ready[2 * DAY + 10 : 2 * DAY + 20] = np.nan  # 10 of 144: the last known count stands
    run = actual(past(ready=ready), rules)
    assert not isinstance(run, str)
    assert run.replicas.tolist() == [4] * DAY
    ready[2 * DAY + 10 : 2 * DAY + 55] = np.nan  # 45 of 144
    assert actual(past(ready=ready), rules) == (
        "what actually ran is not known for 31% of the steps (is kube-state-metrics scraped?)"
    )
    assert ACTUAL not in judged(past(ready=ready)).outcomes


def test_a_first_count_stands_for_what_was_before_it() -> None:
    ready = np.full(3 * DAY, 4.0)
    ready[: 2 * DAY + 5] = np.nan
    run = actual(past(ready=ready), WorldRules(10.0, 60.0, history_steps=2 * DAY))
    assert not isinstance(run, str)
    assert run.replicas.tolist() == [4] * DAY


def test_room_for_the_largest_load_and_never_below_what_ran() -> None:
    # 50/s and a fifth more are 60/s: 6 replicas of 10, 20 of 3; 10 have run.
    assert most_replicas(past(), 10.0, 1) == 10
    assert most_replicas(past(), 3.0, 1) == 20
    assert most_replicas(past(ready=np.full(3 * DAY, np.nan)), 10.0, 1) == 6


def test_a_capacity_that_needs_absurd_numbers_of_replicas_is_not_replayed() -> None:
    # 50 per second and a fifth more at 0.0001 each are 600,000; 10 have run.
    found = silent(past(capacity=KnownCapacity(1e-4)))
    assert found.reason == "CapacityImplausible"
    assert found.message == (
        "at 0.0001 per second each (spec) it needs up to 600,000 replicas, and 10 have run at most: is that what one "
        "serves?"
    )
    least = silent(past(capacity=KnownCapacity(5e-324), ready=np.full(3 * DAY, np.nan))).message
    assert least == "at 4.941e-324 per second each (spec) it needs up to 2e+308 replicas: is that what one serves?"
    # Where so many have run, or the user says what is the most, it is what is asked for.
    assert judged(past(capacity=KnownCapacity(0.05), ready=np.full(3 * DAY, 120.0))).rules.max_replicas == 1200
    assert judged(past(capacity=KnownCapacity(0.05)), Terms(days=1.0, max_replicas=40)).rules.max_replicas == 40


def test_an_unknown_price_is_said_and_no_dollar_is_told() -> None:
    found = judged(past(usd_per_replica_hour=UNKNOWN, watts_per_replica=Sample(0.0, 0.0), other="HPA llm"))
    assert found.outcomes[ACTUAL].score.usd is None
    assert found.outcomes[ACTUAL].score.watt_hours is None
    assert f"price of a replica is not known: {UNKNOWN.message}" in found.notes
    assert "HPA llm scales it now: delete that before mode Auto" in found.notes
    (summary,) = [line for line in text([found], []).splitlines() if line.startswith("  ai/llm")]
    assert summary.split()[-3:] == ["-", "-", "actual"]


def test_a_workload_that_is_scaled_to_0_now_is_said_to_be() -> None:
    (note,) = [each for each in judged(past(desired_replicas=0)).notes if "scaled to 0" in each]
    assert "with minReplicas 1, mode Auto leaves it at 0" in note
    assert not any("scaled to 0" in each for each in judged(past(desired_replicas=1)).notes)


def test_it_says_who_prices_a_replica() -> None:
    listed = past(
        usd_per_replica_hour=Sample(6.88, 0.0, "table h100 spot"), watts_per_replica=Sample(910.0, 0.0, "estimate")
    )
    found = judged(listed)
    said = "a replica costs 6.880 $/h (built-in table, h100 spot) and draws up to 910 W (built-in table)"
    assert said in " ".join(text([found], []).split())
    (workload,) = json.loads(as_json([found], []))["workloads"]
    assert (workload["usdPerReplicaHourSource"], workload["wattsPerReplicaSource"]) == ("table h100 spot", "estimate")
    measured = past(usd_per_replica_hour=UNKNOWN, watts_per_replica=Sample(640.0, 0.0, "measured"))
    found = judged(measured)
    assert "  a replica draws up to 640 W (measured)" in text([found], []).splitlines()
    (workload,) = json.loads(as_json([found], []))["workloads"]
    assert (workload["usdPerReplicaHourSource"], workload["wattsPerReplicaSource"]) == (None, "measured")


def test_the_table_adds_up() -> None:
    found = judged(past())
    ours = found.outcomes["predictive"].score.replica_hours
    quiet = [(WorkloadKey("ai", str(i)), replace(past().target, name=str(i))) for i in range(14)]
    told = text([found], [CannotTell(key, target, "X", "no signal") for key, target in quiet])
    assert f"240.0 -> {ours:,.1f} ({ours / 240.0 - 1.0:+.1%})  {2.0 * (ours - 240.0):+,.2f}" in told
    assert "ai/11 and 2 more: no signal" in " ".join(told.split())
    assert text([], []) == "Nothing to recommend: there is no Deployment and no StatefulSet where we looked."


def test_a_workload_is_called_what_the_cluster_calls_it() -> None:
    # Its optimizer cannot have the name of the Deployment beside it; the object itself has it.
    twin = past(key=WorkloadKey("ai", "llm-statefulset"), target=TargetRef("apps/v1", "StatefulSet", "llm"))
    found, quiet = judged(twin), silent(replace(twin, demand=DemandHistory(0.0, STEP, np.zeros(3 * DAY))))
    lines = text([found], [quiet]).splitlines()
    assert "StatefulSet ai/llm" in lines
    assert sum(line.startswith("  ai/llm (StatefulSet)") for line in lines) == 2
    assert not any("llm-statefulset" in line for line in lines)
    told = json.loads(as_json([found], [quiet]))
    assert [(each["name"], each["kind"]) for each in (*told["workloads"], *told["cannotTell"])] == [
        ("llm", "StatefulSet"),
        ("llm", "StatefulSet"),
    ]
    assert manifest(found)["metadata"]["name"] == "llm-statefulset"


def test_json_says_the_same_and_carries_the_manifest() -> None:
    found = judged(past())
    told = json.loads(as_json([found], [silent(past(0.5))]))
    (workload,) = told["workloads"]
    assert workload["policies"]["actual"]["usd"] == 480.0
    assert workload["manifest"] == manifest(found)
    assert told["cannotTell"][0]["reason"] == "TooLittleHistory"


@pytest.mark.parametrize("latency_ms", [None, 250.0])
@pytest.mark.parametrize("source", ["spec", "learned"])
def test_the_manifest_is_valid_and_touches_nothing(latency_ms: float | None, source: str) -> None:
    given = past(capacity=KnownCapacity(10.0, source), other="HPA: llm\nx")
    found = judged(given, Terms(days=1.0, latency_ms=latency_ms))
    made = yaml.safe_load(manifest_yaml(found))
    assert check(made) == []
    scaling = made["spec"]["autoScaling"]
    assert scaling["mode"] == "Recommend"
    # What was learned against the objective is left to be learned again; anything else is written down.
    assert ("capacityPerReplica" in scaling) is (latency_ms is None or source != "learned")


def loaded(seed: int, peak: float, noise: float) -> Past:
    """A daily wave on replicas that nobody scales, with the latency a queue gives it; capacity is not known."""
    rng, steps = np.random.default_rng(seed), 3 * DAY
    replica, ready = Replica(), np.full(steps, 4.0)
    wave = 1.0 - 0.6 * np.cos(2.0 * np.pi * np.arange(steps) / DAY)
    demand = wave / 1.6 * peak * 40.0 * rng.lognormal(0.0, 0.05, steps)
    waited = latency(replica, flow_over(replica, demand, ready, STEP)).quantile_seconds(0.95)
    waited *= rng.lognormal(0.0, noise, steps)
    waited[rng.random(steps) < 0.02] = np.nan
    return past(demand=DemandHistory(0.0, STEP, demand), ready=ready, capacity=None, latency_seconds=waited)


def taught(given: Past, latency_ms: float) -> Past:
    """With what the operator would learn against the goal."""
    assert given.latency_seconds is not None
    goal = MetricTarget("latency", MetricKind.VALUE, latency_ms / 1_000.0, 0.95)
    policy = WorkloadPolicy(given.key, targets=(goal,))
    pairs = CapacityHistory(0.0, STEP, given.demand.values, given.ready, given.latency_seconds, "latency")
    return replace(given, capacity=estimate(learn((), (pairs,), policy, 3.0 * DAY * STEP), policy))


def misses_of_what_ran(given: Past, latency_ms: float) -> int:
    rules, terms = WorldRules(10.0, 60.0, history_steps=2 * DAY), Terms(days=1.0, latency_ms=latency_ms)
    measured, _ = measured_misses(given, terms, rules)
    ran = actual(given, rules)
    assert isinstance(ran, Run)
    assert measured is not None
    return score(replace(ran, measured=measured), rules).violations


@given(seed=st.integers(0, 2**32 - 1), peak=st.floats(0.2, 1.1), noise=st.floats(0.0, 0.4), beyond=st.floats(1.0, 3.0))
@settings(max_examples=15, deadline=None)
def test_a_goal_that_every_measured_step_met_was_not_missed_by_what_ran(
    seed: int, peak: float, noise: float, beyond: float
) -> None:
    given = loaded(seed, peak, noise)
    goal_ms = beyond * 1_000.0 * float(np.nanmax(given.latency_seconds)) * (1.0 + 1e-12)
    found = judge(taught(given, goal_ms), Terms(days=1.0, latency_ms=goal_ms))
    if isinstance(found, CannotTell):  # nothing is saved, and nothing was missed: there is nothing to advise
        assert found.reason == "CapacityUnknown"
        return
    assert found.outcomes[ACTUAL].score.violations == 0
    assert isinstance(found.capacity, CapacityAtLeast)
    # It is worth a change only where it takes less than what ran.
    assert found.outcomes["predictive"].score.replica_hours < found.outcomes[ACTUAL].score.replica_hours


@given(
    seed=st.integers(0, 2**32 - 1),
    peak=st.floats(0.2, 1.3),
    noise=st.floats(0.0, 0.4),
    goals=st.tuples(st.floats(100.0, 20_000.0), st.floats(100.0, 20_000.0)),
)
@settings(max_examples=50, deadline=None)
def test_what_ran_never_misses_more_by_a_looser_goal(
    seed: int, peak: float, noise: float, goals: tuple[float, float]
) -> None:
    given = loaded(seed, peak, noise)
    tight, loose = sorted(goals)
    assert misses_of_what_ran(given, loose) <= misses_of_what_ran(given, tight)


def test_what_ran_is_judged_by_what_was_measured_whatever_a_replica_is_said_to_serve() -> None:
    # 5 each at noon, and the user says that 2 are the most; p95 was above 800 ms in three steps of the day.
    waited = np.full(3 * DAY, 0.3)
    waited[2 * DAY + 3 : 2 * DAY + 6] = 0.9
    waited[2 * DAY + 9] = np.nan
    given = past(capacity=KnownCapacity(2.0), latency_seconds=waited)
    found = judged(given, Terms(days=1.0, latency_ms=800.0))
    ran = found.outcomes[ACTUAL].score
    assert (ran.violations, ran.steps, ran.unserved_fraction) == (3, DAY - 1, None)
    assert any("steps whose p95 was above 800 ms; of 0.7% it is not known" in note for note in found.notes)
    policies = json.loads(as_json([found], []))["workloads"][0]["policies"]
    assert policies["actual"]["violatingFraction"] == pytest.approx(3 / (DAY - 1))
    assert policies["actual"]["unservedFraction"] is None


def test_a_step_without_demand_waits_for_nothing() -> None:
    demand, waited = past().demand.values.copy(), np.full(3 * DAY, 0.3)
    demand[2 * DAY : 2 * DAY + 100], waited[2 * DAY : 2 * DAY + 100] = 0.0, np.nan
    given = past(demand=DemandHistory(0.0, STEP, demand), latency_seconds=waited)
    ran = judged(given, Terms(days=1.0, latency_ms=800.0)).outcomes[ACTUAL].score
    assert (ran.violations, ran.steps) == (0, DAY)
