"""Every metric but those of single workloads, and what a scrape gets. ``docs/metrics.md`` is rendered from here.

Per-workload gauges are not kept: each scrape reads them from the last cycle's outcomes, so the series of a deleted
workload end with it. Counters begin at 0 with the process; what the ledger has counted over all processes is a gauge.
Only the leader has any of either.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from kcloud_autoscale.act.status import Outcome
from kcloud_autoscale.domain.decision import ScaleOutcome
from kcloud_autoscale.domain.workload import WorkloadKey
from kcloud_autoscale.operator.workload_counters import Name, WorkloadCounters
from kcloud_autoscale.operator.workload_metrics import (
    WORKLOAD,
    WORKLOAD_COUNTERS,
    WORKLOAD_METRICS,
    WorkloadCounter,
    WorkloadMetric,
)

BUCKETS_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class OutcomeCollector(Collector):
    """Series of the last cycle, and what this process has counted."""

    def __init__(self) -> None:
        self.outcomes: Mapping[WorkloadKey, Outcome] = {}
        self.counters = WorkloadCounters()

    def take(self, outcomes: Mapping[WorkloadKey, Outcome]) -> None:
        """One cycle."""
        self.outcomes = outcomes
        self.counters.take({key: outcome.account for key, outcome in outcomes.items()})

    def clear(self) -> None:
        """Another process leads: the series end."""
        self.outcomes = {}
        self.counters.clear()

    def collect(self) -> Iterator[Metric]:
        outcomes = self.outcomes  # the next cycle may replace it while this one is read
        for metric in WORKLOAD_METRICS:
            yield _family(metric, outcomes.items())
        shown = self.counters.shown()
        for counter in WORKLOAD_COUNTERS:
            yield _counter_family(counter, shown)

    def describe(self) -> Iterable[Metric]:
        return [
            *(_family(metric, ()) for metric in WORKLOAD_METRICS),
            *(_counter_family(counter, {}) for counter in WORKLOAD_COUNTERS),
        ]


def _family(metric: WorkloadMetric, outcomes: Iterable[tuple[WorkloadKey, Outcome]]) -> Metric:
    family = GaugeMetricFamily(metric.name, metric.help, labels=[*WORKLOAD, *metric.labels])
    for key, outcome in outcomes:
        for labels, value in metric.points(outcome):
            family.add_metric([key.namespace, key.name, *labels], value)
    return family


def _counter_family(counter: WorkloadCounter, shown: Mapping[WorkloadKey, Mapping[Name, float]]) -> Metric:
    family = CounterMetricFamily(counter.name, counter.help, labels=[*WORKLOAD, *counter.labels])
    for key, values in shown.items():
        for labels, name in counter.names:
            family.add_metric([key.namespace, key.name, *labels], values[name])
    return family


class Metrics:
    """What the operator counts, and what a scrape gets.

    Attributes:
        registry: Of everything.
        labels: By name of the family, for what is counted here.
    """

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # they double the series and tell nobody anything
        self.registry = CollectorRegistry()
        self.labels: dict[str, tuple[str, ...]] = {}
        ProcessCollector(registry=self.registry)
        self.collector = OutcomeCollector()
        self.registry.register(self.collector)
        self._fleet()
        self._cycles()
        self._sources()
        self._teaching()
        self._fitting()

    def _fleet(self) -> None:
        self.workloads = self._gauge("kcloud_workloads", "WorkloadOptimizers that are served.")
        self.invalid_objects = self._gauge("kcloud_invalid_objects", "Objects of ours that cannot be understood.")
        self.scale_outcomes = self._counter("kcloud_scale_actions", "Attempts to write a count, by outcome.", "outcome")
        for outcome in ScaleOutcome:
            # `increase()` does not see the first value of a series: it is 0.
            self.scale_outcomes.labels(outcome.value)

    def _cycles(self) -> None:
        self.cycles = self._counter("kcloud_cycles", "Fleet cycles, by outcome: ok, error.", "outcome")
        self.cycle_stage = self._histogram(
            "kcloud_cycle_stage_seconds",
            "Duration of each stage of a cycle: observe, tick, ledger, act, record.",
            60.0,
            "stage",
        )
        self.last_cycle = self._gauge("kcloud_last_cycle_timestamp_seconds", "End of the last cycle that went well.")
        self.ledger_written = self._gauge(
            "kcloud_ledger_written_timestamp_seconds", "When money and original counts were last put on record."
        )
        self.ledger_failures = self._counter(
            "kcloud_ledger_failures", "Cycles in which the record could not be written; new workloads wait for it."
        )
        self.clock_error = self._gauge(
            "kcloud_clock_error_seconds", "How far this machine's clock is ahead of the API server's and Prometheus'."
        )
        self.leader = self._gauge("kcloud_leader", "1 while this process may act.")
        self.loop_lag = self._gauge("kcloud_event_loop_lag_seconds", "How late the event loop runs.")

    def _sources(self) -> None:
        self.source_problems = self._gauge(
            "kcloud_source_problems", "Sources that failed as a whole in the last cycle."
        )
        self.kubernetes_requests = self._counter(
            "kcloud_kubernetes_requests",
            "Answers of the API server by verb and HTTP status; `none` is no answer.",
            "verb",
            "code",
        )
        self.write_rate = self._gauge(
            "kcloud_write_rate",
            "Writes a second that the operator allows itself: WRITE_QPS, less after the API server has answered 429.",
        )
        self.events_dropped = self._gauge(
            "kcloud_events_dropped",
            "Kubernetes Events not written: more than one for two attempts to scale and ten a minute, or a full queue.",
        )
        self.statuses_refused = self._counter(
            "kcloud_statuses_refused", "Statuses that the API server did not take as they were, by kind.", "kind"
        )
        self.statuses_incomplete = self._gauge(
            "kcloud_statuses_incomplete",
            "Objects whose status is written without what the API server refuses; their StatusWritten says what.",
        )
        self.prometheus_queries = self._counter(
            "kcloud_prometheus_queries", "Queries by outcome: ok, error.", "outcome"
        )
        self.prometheus_seconds = self._histogram("kcloud_prometheus_query_seconds", "Duration of a query.", 10.0)

    def _teaching(self) -> None:
        self.worker_deaths = self._counter(
            "kcloud_forecast_worker_deaths",
            "Forecast workers that ended unasked, by reason: Killed, TimedOut, OutOfMemory, Failed, NotStarted. "
            "Each costs a cycle of forecasts of those not taught yet.",
            "reason",
        )
        self.lesson_seconds = self._histogram(
            "kcloud_forecast_lesson_seconds",
            "Duration of one lesson of the forecast worker: the whole histories of 1 to 128 workloads.",
            5.0,
        )
        self.untaught = self._gauge(
            "kcloud_forecast_untaught_workloads", "Workloads whose history was still to be taught after the last cycle."
        )
        self.set_aside = self._gauge(
            "kcloud_forecast_set_aside_workloads",
            "Workloads not taught for a while because the forecast worker died of them; their ForecastTrusted says so.",
        )

    def _fitting(self) -> None:
        self.fit_seconds = self._histogram(
            "kcloud_forecast_fit_seconds",
            "Duration of one fit of a model that a workload asked for, by model.",
            60.0,
            "model",
        )
        self.fits_waiting = self._gauge(
            "kcloud_forecast_fits_waiting", "Fits of models asked for that were still to be made after the last cycle."
        )
        self.fitter_deaths = self._counter(
            "kcloud_forecast_fitter_deaths",
            "Processes fitting models asked for that ended unasked, by reason: Killed, TimedOut, OutOfMemory, Failed, "
            "NotStarted. Each costs one fit its turn.",
            "reason",
        )

    def _counter(self, name: str, documentation: str, *labels: str) -> Counter:
        self.labels[name] = labels
        return Counter(name, documentation, labels, registry=self.registry)

    def _gauge(self, name: str, documentation: str) -> Gauge:
        return Gauge(name, documentation, registry=self.registry)

    def _histogram(self, name: str, documentation: str, longest_seconds: float, *labels: str) -> Histogram:
        self.labels[name] = labels
        buckets = [each for each in BUCKETS_SECONDS if each <= longest_seconds]
        return Histogram(name, documentation, labels, registry=self.registry, buckets=buckets)

    def kubernetes_answered(self, verb: str, status: int | None) -> None:
        """One answer of the API server."""
        self.kubernetes_requests.labels(verb, "none" if status is None else str(status)).inc()

    def prometheus_answered(self, outcome: str, seconds: float) -> None:
        """One query."""
        self.prometheus_queries.labels(outcome).inc()
        self.prometheus_seconds.observe(seconds)

    def stand_by(self) -> None:
        """Another process leads: what this one last knew of the fleet is not shown beside what that one knows."""
        self.collector.clear()
        for gauge in (self.workloads, self.invalid_objects, self.source_problems, self.statuses_incomplete,
                      self.untaught, self.set_aside, self.fits_waiting):  # fmt: skip
            gauge.set(0.0)

    def expose(self) -> bytes:
        """The text a scrape gets."""
        return generate_latest(self.registry)


def render_markdown() -> str:
    """``docs/metrics.md``."""
    metrics = Metrics()
    families = sorted(metrics.registry.collect(), key=lambda family: family.name)
    named = [
        *((metric.name, metric.labels) for metric in WORKLOAD_METRICS),
        *((counter.name, counter.labels) for counter in WORKLOAD_COUNTERS),
    ]
    of_workloads = {name.removesuffix("_total"): (*WORKLOAD, *labels) for name, labels in named}
    labels = {**metrics.labels, **of_workloads}
    rows = [
        f"| `{family.name}{'_total' if family.type == 'counter' else ''}` | {family.type} | "
        f"{', '.join(labels.get(family.name.removesuffix('_total'), ()))} | "
        f"{family.documentation} |"
        for family in families
    ]
    return "\n".join([*_HEAD, *rows]) + "\n"


_HEAD = [
    "# Metrics",
    "",
    "Served at `/metrics` in the Prometheus text format. Generated by `make generate`.",
    "Series of a workload exist while its WorkloadOptimizer does; a value without a source has no series, never 0.",
    "Counters begin at 0 with the process: take `increase` or `rate` of them, which puts the parts of all processes",
    "together, and only then sums. What was saved may be negative, so it is a difference of three counters:",
    "baseline - compared - unproven. Totals of the whole life of a workload are gauges (`kcloud_lifetime_…` and",
    "`kcloud_cost_savings_total`). They lose nothing when a process is killed: what they grew by in a time is",
    "`max_over_time` - `min_over_time`, of all instances together. `since` tells one ledger's life from the next.",
    "Of several replicas only the leader has series of workloads.",
    "",
    "| metric | type | labels | meaning |",
    "|---|---|---|---|",
]
