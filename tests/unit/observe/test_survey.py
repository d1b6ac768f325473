"""Which signal tells a workload's load, and what has run: on a Prometheus of a few lines."""

import numpy as np
import pytest

from kcloud_autoscale.domain.errors import ObservationError
from kcloud_autoscale.domain.workload import TargetRef, WorkloadKey
from kcloud_autoscale.observe.history import Span
from kcloud_autoscale.observe.prometheus_response import Point, PrometheusError, Row
from kcloud_autoscale.observe.query_session import QuerySession
from kcloud_autoscale.observe.survey import demand_signals, ready_replicas

NOW = 1_800_000_000.0
LLM = WorkloadKey("ai", "llm")
TARGETS = {LLM: TargetRef("apps/v1", "Deployment", "llm")}
HOUR = 3_600.0


class Told:
    """Tells a value for the last `known` steps of each metric that is named in a query."""

    def __init__(self, known: dict[str, int], error: PrometheusError | None = None) -> None:
        self.known, self.error = known, error

    async def query_range(
        self,
        promql: str,
        start_seconds: float,
        end_seconds: float,
        step_seconds: float,
        timeout_seconds: float | None = None,
        lookback_seconds: float | None = None,
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
    ) -> list[Point]:
        return []

    async def samples(self, selector: str, at_seconds: float, timeout_seconds: float | None = None) -> list[Row]:
        return []


def asker(source: Told) -> QuerySession:
    return QuerySession(source, NOW, 10.0)


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
