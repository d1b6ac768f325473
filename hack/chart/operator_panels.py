"""The operator itself."""

from __future__ import annotations

from hack.chart.panels import OPERATOR, Row, graph, stat


def _rate(counter: str, by: str, *more: str) -> str:
    selector = ", ".join((OPERATOR, *more))
    return f"sum by ({by}) (rate({counter}{{{selector}}}[$__rate_interval]))"


def _quantile(level: float, histogram: str, by: str = "") -> str:
    return f"histogram_quantile({level:g}, {_rate(f'{histogram}_bucket', f'le{by}')})"


ROWS = (
    Row(
        "Now",
        (
            stat(
                "Leaders", "Processes that may act; 1 when all is well.", "short", f"sum (kcloud_leader{{{OPERATOR}}})"
            ),
            stat("Workloads", "WorkloadOptimizers served.", "short", f"max (kcloud_workloads{{{OPERATOR}}})"),
            stat(
                "Since the last cycle",
                "That went well.",
                "s",
                f"time() - max (kcloud_last_cycle_timestamp_seconds{{{OPERATOR}}})",
            ),
            stat(
                "Not understood",
                "Objects that cannot be served.",
                "short",
                f"max (kcloud_invalid_objects{{{OPERATOR}}})",
            ),
        ),
        4,
    ),
    Row(
        "Cycles",
        (
            graph(
                "Duration of each stage, 95th percentile",
                "A cycle is observe, tick, act and record, one after another.",
                "s",
                (_quantile(0.95, "kcloud_cycle_stage_seconds", ", stage"), "{{stage}}"),
            ),
            graph("Cycles", "By outcome.", "ops", (_rate("kcloud_cycles_total", "outcome"), "{{outcome}}")),
            graph("Scalings", "By outcome.", "ops", (_rate("kcloud_scale_actions_total", "outcome"), "{{outcome}}")),
        ),
    ),
    Row(
        "Sources",
        (
            graph(
                "Queries of Prometheus",
                "By outcome.",
                "reqps",
                (_rate("kcloud_prometheus_queries_total", "outcome"), "{{outcome}}"),
            ),
            graph(
                "Duration of a query, 95th percentile",
                "As the operator sees it.",
                "s",
                (_quantile(0.95, "kcloud_prometheus_query_seconds"), "95th percentile"),
            ),
            graph(
                "Requests to the API server",
                "By verb and status.",
                "reqps",
                (_rate("kcloud_kubernetes_requests_total", "verb, code"), "{{verb}} {{code}}"),
            ),
        ),
    ),
    Row(
        "Forecasting and memory",
        (
            graph(
                "Workloads not taught yet",
                "They are scaled as an HPA would until the worker has learned their history.",
                "short",
                (f"max (kcloud_forecast_untaught_workloads{{{OPERATOR}}})", "not taught yet"),
                (f"max (kcloud_forecast_set_aside_workloads{{{OPERATOR}}})", "set aside"),
            ),
            graph(
                "Worker processes that ended unasked",
                "By reason, per second.",
                "ops",
                (_rate("kcloud_forecast_worker_deaths_total", "reason"), "learning: {{reason}}"),
                (_rate("kcloud_forecast_fitter_deaths_total", "reason"), "fitting: {{reason}}"),
            ),
            graph(
                "Memory of the controller",
                "Resident, without its workers.",
                "bytes",
                (f"process_resident_memory_bytes{{{OPERATOR}}}", "{{instance}}"),
            ),
            graph(
                "CPU of the controller",
                "Cores, without its workers.",
                "short",
                (f"rate(process_cpu_seconds_total{{{OPERATOR}}}[$__rate_interval])", "{{instance}}"),
            ),
        ),
    ),
)
