"""One workload: what came, what was expected, what ran, what held it."""

from __future__ import annotations

from hack.chart.panels import WORKLOAD, Row, graph, stat


def _of(metric: str, *more: str) -> str:
    return f"max (kcloud_{metric}{{{', '.join((WORKLOAD, *more))}}})"


def _by(label: str, metric: str, condition: str = "") -> str:
    return f"max by ({label}) (kcloud_{metric}{{{WORKLOAD}}}){condition}"


ROWS = (
    Row(
        "Now",
        (
            stat("Replicas", "Ordered when last looked at.", "short", _of("current_replicas")),
            stat("Ready", "Those that serve.", "short", _of("ready_replicas")),
            stat("Cost per hour", "US dollars, all replicas.", "currencyUSD", _of("cost_usd_per_hour")),
            stat("Power", "Watts, all replicas.", "watt", _of("power_watts")),
            stat("Forecast trusted", "1 when decisions rest on the forecast.", "short", _of("forecast_trusted")),
            stat("Lead time", "From an order to a ready replica.", "s", _of("lead_time_seconds")),
        ),
        4,
    ),
    Row(
        "Load and capacity",
        (
            graph(
                "Load, forecast and what could be served",
                "Provisioned for: the quantile of the peak that the price of a miss chose.",
                "reqps",
                (_of("demand_per_second"), "load"),
                (_of("forecast_needed_demand_per_second"), "provisioned for"),
                (_of("forecast_demand_per_second", 'quantile="0.5"'), "forecast, median of the peak"),
                (f"{_of('ready_replicas')} * {_of('capacity_per_replica_per_second')}", "ready capacity"),
            ),
        ),
        10,
    ),
    Row(
        "Replicas",
        (
            graph(
                "Replicas",
                "Desired is what was decided, uncapped what it would be without limits, baseline what HPA would run.",
                "short",
                (_of("desired_replicas"), "desired"),
                (_of("ready_replicas"), "ready"),
                (_of("uncapped_replicas"), "without limits"),
                (_of("baseline_replicas"), "baseline"),
            ),
            graph(
                "Reason of the decision",
                "1 for the reason of the last decision.",
                "short",
                (_by("reason", "decision_reason", " == 1"), "{{reason}}"),
                fill=40,
            ),
        ),
    ),
    Row(
        "Limits and honesty",
        (
            graph(
                "Room below each limit",
                "Share of a hard limit that is left; below zero it is exceeded.",
                "percentunit",
                (_by("cap", "cap_headroom_ratio"), "{{cap}}"),
            ),
            graph(
                "Coverage of the forecast",
                "Share of peaks below the 0.95 quantile, lately; 95 % is honest.",
                "percentunit",
                (_of("forecast_error", 'score="coverage"'), "coverage"),
            ),
            graph(
                "Error of the forecast",
                "Mean absolute error of the median over that of the last value, lately (MASE); below 1 beats it.",
                "short",
                (_of("forecast_error", 'score="mase"'), "MASE"),
            ),
            graph(
                "Who is heard",
                "Share of each forecaster in the forecast.",
                "percentunit",
                (_by("model", "forecast_weight_ratio"), "{{model}}"),
                fill=20,
            ),
        ),
    ),
)
