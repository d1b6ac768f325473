"""A fleet gathered from fakes: failures stay where they belong, questions stay few."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from kcloud_autoscale.domain.policy import DemandSource, FleetPolicy, MetricKind, MetricTarget, WorkloadPolicy
from kcloud_autoscale.domain.reading import Missing, MissingReason, Sample
from kcloud_autoscale.domain.workload import WorkloadKey
from kcloud_autoscale.observe.gather import Gatherer, GatherSettings
from kcloud_autoscale.observe.prometheus_response import PrometheusError
from kcloud_autoscale.observe.turns import WHOLE_VALUES
from tests.fakes.informers import filled_informers
from tests.fakes.prometheus import FakePrometheus

NOW = 1_700_000_000.0
LATENCY = MetricTarget("latency", MetricKind.VALUE, 0.5)


def fleet(count: int, *targets: MetricTarget) -> FleetPolicy:
    keys = [WorkloadKey("ai", f"w{index:05d}") for index in range(count)]
    source = DemandSource("vllm")
    return FleetPolicy({key: WorkloadPolicy(key, targets=targets, demand=source, max_replicas=9) for key in keys})


def fed(policy: FleetPolicy) -> dict[WorkloadKey, float]:
    return dict.fromkeys(policy.workloads, NOW - 180.0)


async def test_one_odd_workload_fails_alone() -> None:
    """The server refuses every query that names it; the group is halved until it stands alone."""
    refusal = PrometheusError("HTTP 422: execution: many-to-many matching", about_query=True)
    source = FakePrometheus(refuse=lambda text: refusal if "w00013" in text else None)
    policy = fleet(40)

    observation = await Gatherer(source, filled_informers(40, 1)).gather(policy, fed(policy), NOW)

    demand = {key.name: each.demand for key, each in observation.workloads.items()}
    odd = demand.pop("w00013")
    assert isinstance(odd, Missing)
    assert odd.reason is MissingReason.SOURCE_ERROR
    assert "many-to-many" in odd.message
    assert len(demand) == 39
    assert all(isinstance(each, Sample) for each in demand.values())
    assert observation.problems == (f"{odd.message} (1 workloads)",)


async def test_a_server_that_fails_throughout_is_not_asked_again_and_again() -> None:
    down = PrometheusError("HTTP 503: overloaded", transient=True)
    source = FakePrometheus(refuse=lambda text: None if text == "vector(1)" else down)
    policy = fleet(40)

    observation = await Gatherer(source, filled_informers(40, 1)).gather(policy, fed(policy), NOW)

    assert all(isinstance(each.demand, Missing) for each in observation.workloads.values())
    assert all(each.demand_history is None for each in observation.workloads.values())
    assert len(source.queries) < 40


async def test_history_that_does_not_fit_the_budget_comes_later_and_the_rest_now() -> None:
    class Stuck(FakePrometheus):
        """Answers some range queries, and no more."""

        answers = 20

        async def query_range(self, *args, **kwargs):  # type: ignore[no-untyped-def]
            self.answers -= 1
            if self.answers < 0:
                await asyncio.Event().wait()
            return await super().query_range(*args, **kwargs)

    policy = fleet(190)
    settings = GatherSettings(history_days=14.0, history_budget_seconds=1.0)

    observation = await Gatherer(Stuck(), filled_informers(190, 1), settings).gather(policy, {}, NOW)

    come = [each for each in observation.workloads.values() if each.demand_history is not None]
    assert 0 < len(come) < 190
    assert all(each.demand_history.start_seconds < NOW - 13 * 86_400 for each in come if each.demand_history)
    assert all(isinstance(each.demand, Sample) for each in observation.workloads.values())


async def test_whole_histories_of_own_queries_come_one_by_one_from_a_server_that_is_slow() -> None:
    """4 at once, 50 ms each, two requests per history: within a second some 40 of 99, and not none at all."""

    class Slow(FakePrometheus):
        slots = asyncio.Semaphore(4)

        async def query_range(self, promql, *args, **kwargs):  # type: ignore[no-untyped-def]
            async with self.slots:
                await asyncio.sleep(0.05)
            rows = await super().query_range('pod=~"(?:x)"', *args, **kwargs)
            return [replace(row, labels={}) for row in rows]

    plain = fleet(190)
    own = {
        key: replace(each, demand=DemandSource(query=f"load{{app={key.name!r}}}"))
        for key, each in plain.workloads.items()
    }
    settings = GatherSettings(history_days=14.0, history_budget_seconds=1.0)
    observation = await Gatherer(Slow(), filled_informers(190, 1), settings).gather(
        replace(plain, workloads=own), {}, NOW
    )
    come = [each for each in observation.workloads.values() if each.demand_history is not None]
    assert 0 < len(come) < 190


async def test_a_large_fleet_is_read_in_parts_and_those_nobody_knows_hold_up_no_others() -> None:
    """The first 120 of 220 workloads never have any history, so they are new in every cycle."""

    class Silent(FakePrometheus):
        async def query_range(self, *args, **kwargs):  # type: ignore[no-untyped-def]
            rows = await super().query_range(*args, **kwargs)
            return [row for row in rows if row.labels["workload"] >= "w00120"]

    policy = fleet(220)
    gatherer = Gatherer(Silent(), filled_informers(220, 1), GatherSettings(history_days=14.0))
    since: dict[WorkloadKey, float] = {}
    parts = []
    for cycle in range(3):
        observation = await gatherer.gather(policy, since, NOW + 60.0 * cycle)
        read = {key: each.demand_history for key, each in observation.workloads.items() if key not in since}
        new = {key: history.end_seconds for key, history in read.items() if history is not None}
        parts.append(len(new))
        since |= new

    a_part = WHOLE_VALUES // (14 * 1440)
    assert a_part == 99
    assert parts == [0, 2 * a_part - 120, 220 - 2 * a_part]
    assert len(since) == 100


async def test_who_looks_only_once_reads_everything() -> None:
    """More histories than one cycle takes, and capacities of workloads that are silent at present."""

    class Silent(FakePrometheus):
        async def query(self, *args, **kwargs):  # type: ignore[no-untyped-def]
            return [each for each in await super().query(*args, **kwargs) if "workload" not in each.labels]

    settings = GatherSettings(history_days=14.0, single_look=True)
    observation = await Gatherer(Silent(), filled_informers(250, 1), settings).gather(fleet(250, LATENCY), {}, NOW)
    assert all(isinstance(each.demand, Missing) for each in observation.workloads.values())
    assert all(each.demand_history is not None for each in observation.workloads.values())
    assert all(len(each.capacity_history) == 1 for each in observation.workloads.values())


@pytest.mark.parametrize("count", [100, 1000])
async def test_questions_grow_with_the_length_of_the_names_and_not_with_the_workloads(count: int) -> None:
    source = FakePrometheus()
    policy = fleet(count, LATENCY)
    gatherer = Gatherer(source, filled_informers(count, 2))
    await gatherer.gather(policy, fed(policy), NOW)
    source.queries.clear()

    observation = await gatherer.gather(policy, dict.fromkeys(policy.workloads, NOW - 60), NOW + 60)

    assert all(isinstance(each.demand, Sample) for each in observation.workloads.values())
    # Some twenty-five fleet-wide ones (prices twice: now and usually), and four or five signals in groups of a few
    # hundred names.
    assert len(source.queries) < 27 + count / 20


async def test_a_caller_that_starts_over_is_told_of_the_capacity_anew() -> None:
    """A cycle failed, or the lead was lost for a while: a capacity takes hours to be learned from new pairs alone."""
    policy = fleet(1, LATENCY)
    gatherer = Gatherer(FakePrometheus(), filled_informers(1, 2))
    (first,) = (await gatherer.gather(policy, {}, NOW)).workloads.values()
    (second,) = (await gatherer.gather(policy, dict.fromkeys(policy.workloads, NOW), NOW + 60)).workloads.values()
    (anew,) = (await gatherer.gather(policy, {}, NOW + 120)).workloads.values()

    assert second.capacity_history == ()  # no further five minutes are complete yet
    assert len(first.capacity_history) == len(anew.capacity_history) == 1
    assert len(anew.capacity_history[0].metric) == 14 * 288


async def test_a_target_that_is_missing_has_missing_metrics_and_disturbs_nobody() -> None:
    policy = fleet(3, LATENCY)
    observation = await Gatherer(FakePrometheus(), filled_informers(2, 1)).gather(policy, fed(policy), NOW)

    gone = observation.workloads[WorkloadKey("ai", "w00002")]
    assert isinstance(gone.target, Missing)
    assert gone.demand == gone.target
    assert gone.metrics[0].total == gone.target
    assert gone.demand_history is None
    assert isinstance(observation.workloads[WorkloadKey("ai", "w00001")].demand, Sample)


async def test_latency_of_no_traffic_is_not_a_number_and_never_zero() -> None:
    policy = fleet(1, LATENCY)
    source = FakePrometheus(value=float("nan"))
    seen = (await Gatherer(source, filled_informers(1, 1)).gather(policy, fed(policy), NOW)).workloads.popitem()[1]  # type: ignore[attr-defined]

    assert isinstance(seen.metrics[0].total, Missing)
    assert seen.metrics[0].total.reason is MissingReason.NOT_A_NUMBER
