"""A Prometheus of one function, for what needs no real one: grouping, speed, isolation of failures."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np

from kcloud_autoscale.observe.prometheus_response import DEFAULT_BOUND, Point, PrometheusError, ResponseBound, Row

_NAMES = re.compile(r'(?:exported_)?pod=~"\(\?:([^)]*)\)')


class FakePrometheus:
    """Answers grouped queries with one series per workload named in them.

    Args:
        namespace: All workloads' own.
        value: Of every series.
        refuse: Asked with each query; an error it returns is raised.
    """

    def __init__(
        self,
        namespace: str = "ai",
        value: float = 10.0,
        refuse: Callable[[str], PrometheusError | None] = lambda _: None,
    ) -> None:
        self.queries: list[str] = []
        self._namespace = namespace
        self._value = value
        self._refuse = refuse

    async def query(
        self,
        promql: str,
        at_seconds: float,
        timeout_seconds: float | None = None,
        lookback_seconds: float | None = None,
        bound: ResponseBound = DEFAULT_BOUND,
    ) -> list[Point]:
        self._note(promql)
        if promql == "vector(1)":
            return [Point({}, 1.0, at_seconds)]
        value = at_seconds if "timestamp(" in promql else self._value
        return [Point(labels, value, at_seconds) for labels in self._workloads(promql)]

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
        self._note(promql)
        times = np.arange(start_seconds, end_seconds + step_seconds / 2, step_seconds)
        values = times if "timestamp(" in promql else np.full(len(times), self._value)
        return [Row(labels, times, values) for labels in self._workloads(promql)]

    async def samples(self, selector: str, at_seconds: float, timeout_seconds: float | None = None) -> list[Row]:
        self._note(selector)
        return []

    def _note(self, promql: str) -> None:
        self.queries.append(promql)
        if error := self._refuse(promql):
            raise error

    def _workloads(self, promql: str) -> list[dict[str, Any]]:
        if "group_right" in promql:
            return []  # no step in which a pod lacked samples
        found = _NAMES.search(promql)
        return [{"namespace": self._namespace, "workload": name} for name in found[1].split("|")] if found else []
