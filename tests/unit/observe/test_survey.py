"""Which signal tells a workload's load, and what has run: on a Prometheus of a few lines."""

from dataclasses import replace

import numpy as np
import pytest

from kcloud_autoscale.domain.errors import ObservationError
from kcloud_autoscale.domain.policy import Ceiling, DemandSource, MetricKind, MetricTarget, WorkloadPolicy
from kcloud_autoscale.domain.reading import Missing, MissingReason
from kcloud_autoscale.domain.workload import Mode, TargetRef, WorkloadKey
from kcloud_autoscale.observe.history import Span
from kcloud_autoscale.observe.prometheus_response import DEFAULT_BOUND, Point, PrometheusError, ResponseBound, Row
from kcloud_autoscale.observe.query_session import QuerySession
from kcloud_autoscale.observe.survey import DemandSources, demand_signals, leaves_source_open, ready_replicas

NOW = 1_800_000_000.0
LLM = WorkloadKey("ai", "llm")
TARGETS = {LLM: TargetRef("apps/v1", "Deployment", "llm")}
HOUR = 3_600.0


class Told:
    """Tells a value for the last `known` steps of each metric that is named in a query."""

    def __init__(self, known: dict[str, int], error: PrometheusError | None = None) -> None:
        self.known, self.error = known, error
        self.asked = 0

    async def query_range(
        self,
        promql: str,
        start_seconds: float,
        end_seconds: float,
        step_seconds: float,
        timeout_seconds: float | None = None,
        lookback_seconds: float | None = None,
        bound: ResponseBound = DEFAULT_BOUND,
    ) -> list[Row]:
        if self.error is not None:
            raise self.error
        steps = max((known for metric, known in self.known.items() if metric in promql), default=0)
        if not steps:
            return []
        times = np.arange(start_seconds, end_seconds + step_seconds / 2, step_seconds)[-steps:]
        return [Row({"namespace": "ai", "workload": "llm"}, times, np.full(len(times), 3.0))]

    async def query(
        self,
        promql: str,
        at_seconds: float,
        timeout_seconds: float | None = None,
        lookback_seconds: float | None = None,
        bound: ResponseBound = DEFAULT_BOUND,
    ) -> list[Point]:
        self.asked += 1
        if self.error is not None:
            raise self.error
        if not any(metric in promql for metric in self.known):
            return []
        return [Point({"namespace": "ai", "workload": "llm"}, at_seconds, at_seconds)]

    async def samples(self, selector: str, at_seconds: float, timeout_seconds: float | None = None) -> list[Row]:
        return []


def asker(source: Told, now: float = NOW) -> QuerySession:
    return QuerySession(source, now, 10.0)


async def test_the_stack_that_is_known_longest_comes_first() -> None:
    told = Told({"istio_requests_total": 48, "http_server_request": 24})
    found = await demand_signals(asker(told), TARGETS, days=2.0)
    assert [(each.preset, each.known_fraction) for each in found[LLM]] == [("istio", 1.0), ("http", 0.5)]


async def test_a_server_speaks_before_the_mesh_in_front_of_it() -> None:
    told = Told({"istio_requests_total": 48, "sglang:": 48})
    found = await demand_signals(asker(told), TARGETS, days=2.0)
    assert [each.preset for each in found[LLM]] == ["sglang", "istio"]


async def test_no_metrics_are_no_signal_but_no_answer_is_an_error() -> None:
    assert await demand_signals(asker(Told({})), TARGETS, days=2.0) == {LLM: ()}
    with pytest.raises(ObservationError, match="out of memory"):
        await demand_signals(asker(Told({}, PrometheusError("out of memory"))), TARGETS, days=2.0)


async def test_ready_replicas_are_told_by_the_state_metric_or_counted() -> None:
    span = Span(NOW - 10 * 60.0, 10, 60.0)
    told = await ready_replicas(asker(Told({"kube_deployment_status": 8})), TARGETS, {LLM: "vllm"}, span)
    assert np.isnan(told[LLM][:2]).all()
    assert told[LLM][2:].tolist() == [3.0] * 8
    counted = await ready_replicas(asker(Told({"vllm:num_requests_running": 10})), TARGETS, {LLM: "vllm"}, span)
    assert counted[LLM].tolist() == [3.0] * 10
    # A mesh names services, not pods: nothing can be counted by it.
    unknown = await ready_replicas(asker(Told({"istio_requests_total": 10})), TARGETS, {LLM: "istio"}, span)
    assert np.isnan(unknown[LLM]).all()


async def test_the_operator_finds_the_server_before_the_mesh_and_asks_no_more() -> None:
    told, sources = Told({"istio_requests_total": 1, "vllm:num_requests_running": 1}), DemandSources()
    assert await sources.of(asker(told), TARGETS) == {LLM: "vllm"}
    asked = told.asked
    assert await sources.of(asker(told, NOW + 60.0), TARGETS) == {LLM: "vllm"}
    assert told.asked == asked
    # An hour later it is looked at again; what is silent for once, or cannot be asked, stays.
    told.known = {}
    assert await sources.of(asker(told, NOW + 3_600.0), TARGETS) == {LLM: "vllm"}
    assert told.asked > asked
    told.error = PrometheusError("away", about_query=False)
    assert await sources.of(asker(told, NOW + 9_000.0), TARGETS) == {LLM: "vllm"}
    # Another stack that speaks replaces one that does not.
    told.known, told.error = {"sglang:num_running_reqs": 1}, None
    assert await sources.of(asker(told, NOW + 9_015.0), TARGETS) == {LLM: "sglang"}


async def test_what_is_not_found_is_looked_for_again_at_growing_pauses() -> None:
    told, sources, looks = Told({}), DemandSources(), []
    for second in range(0, 1_300, 5):
        before = told.asked
        found = (await sources.of(asker(told, NOW + second), TARGETS))[LLM]
        if told.asked > before:
            looks.append(second)
    assert looks == [0, 15, 45, 105, 225, 465, 945]
    assert isinstance(found, Missing)
    assert "no serving stack's metrics name Deployment llm (vllm, " in found.message
    # Another target is another question.
    other = {LLM: TargetRef("apps/v1", "StatefulSet", "llm")}
    before = told.asked
    await sources.of(asker(told, NOW + 1_301.0), other)
    assert told.asked > before


async def test_a_query_that_fails_says_so_and_is_tried_again_soon() -> None:
    told, sources = Told({"vllm:": 1}, PrometheusError("away", about_query=False)), DemandSources()
    for at in (NOW, NOW + 15.0, NOW + 30.0):
        found = (await sources.of(asker(told, at), TARGETS))[LLM]
        assert isinstance(found, Missing)
        assert found.reason is MissingReason.SOURCE_ERROR
    told.error = None
    assert await sources.of(asker(told, NOW + 45.0), TARGETS) == {LLM: "vllm"}


async def test_a_workload_whose_series_break_a_query_breaks_it_for_nobody_else() -> None:
    class Odd(Told):
        async def query(self, promql: str, *rest: float | None) -> list[Point]:  # type: ignore[override]
            if "odd" in promql and "istio" in promql:
                raise PrometheusError("many-to-many matching", about_query=True)
            return await super().query(promql, NOW)

    odd = WorkloadKey("ai", "odd")
    both = {**TARGETS, odd: TargetRef("apps/v1", "Deployment", "odd")}
    found = await DemandSources().of(asker(Odd({"vllm:num_requests_running": 1})), both)
    assert found[LLM] == "vllm"
    assert isinstance(found[odd], Missing)


LATENCY = MetricTarget("latency", MetricKind.VALUE, 0.1, 0.95)


@pytest.mark.parametrize(
    ("policy", "is_open"),
    [
        (WorkloadPolicy(LLM, targets=(LATENCY,)), True),
        (WorkloadPolicy(LLM, capacity_per_replica=10.0), True),
        (WorkloadPolicy(LLM, targets=(LATENCY,), mode=Mode.OFF), False),
        (WorkloadPolicy(LLM, targets=(LATENCY,), demand=DemandSource("tgi")), False),
        (WorkloadPolicy(LLM, targets=(LATENCY,), demand=DemandSource(query="sum(x)")), False),
        (WorkloadPolicy(LLM, targets=(replace(LATENCY, query="sum(x)"),)), False),
        (WorkloadPolicy(LLM, targets=(MetricTarget("gpu", MetricKind.UTILIZATION, 0.7),)), False),
        (WorkloadPolicy(LLM, ceilings=(Ceiling("power", 1_800.0),)), False),
    ],
)
def test_a_stack_is_looked_for_where_something_is_asked_of_it(policy: WorkloadPolicy, is_open: bool) -> None:
    assert leaves_source_open(policy) is is_open
