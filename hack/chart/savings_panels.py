"""What was saved. Actual and baseline are two counters each, so savings are the difference of two increases, signed."""

from __future__ import annotations

from hack.chart.panels import WORKLOAD, Panel, Row, graph, stat


def _used(side: str, name: str, window: str = "$__range", by: str = "") -> str:
    return f"sum{by} (increase(kcloud_{side}_{name}_total{{{WORKLOAD}}}[{window}]))"


def _saved(name: str, scale: str = "") -> str:
    return f"({_used('baseline', name)} - {_used('actual', name)}){scale}"


def _share(name: str) -> str:
    return f"1 - {_used('actual', name)} / {_used('baseline', name)}"


def _missed(side: str) -> str:
    missed = _used(side, "demand_missed")
    return f"{missed} / ({missed} + {_used(side, 'demand_served')})"


def _beside(title: str, description: str, unit: str, name: str, scale: str) -> Panel:
    """Both sides' rate over time."""
    return graph(
        title,
        description,
        unit,
        *[(f"sum (rate(kcloud_{side}_{name}_total{{{WORKLOAD}}}[$__rate_interval])){scale}", legend)
          for side, legend in (("baseline", "baseline"), ("actual", "ours"))],
    )  # fmt: skip


def _per_workload(side: str, name: str) -> str:
    return _used(side, name, by=" by (namespace, name)")


ROWS = (
    Row(
        "Over the time shown",
        (
            stat("Saved", "US dollars: baseline minus ours.", "currencyUSD", _saved("cost_usd")),
            stat("Of the baseline's cost", "Share of its money that was not spent.", "percentunit", _share("cost_usd")),
            stat("Energy saved", "Baseline minus ours.", "watth", _saved("energy_joules", " / 3600")),
            stat("Carbon saved", "Grams of CO2 equivalent: baseline minus ours.", "massg", _saved("carbon_grams")),
            stat("Load missed by us", "Share beyond the ready capacity.", "percentunit", _missed("actual")),
            stat("Load missed by the baseline", "The same load, its capacity.", "percentunit", _missed("baseline")),
        ),
        4,
    ),
    Row(
        "Beside the baseline",
        (
            _beside(
                "Cost",
                "US dollars per hour, over intervals in which both are known.",
                "currencyUSD",
                "cost_usd",
                " * 3600",
            ),
            _beside(
                "Power", "Mean draw, ours measured or estimated, the baseline's derived.", "watt", "energy_joules", ""
            ),
            _beside("Replicas", "Mean number of replicas that were paid for.", "short", "replica_seconds", ""),
        ),
    ),
    Row(
        "Workload by workload",
        (
            graph(
                "Money saved",
                "US dollars per hour, baseline minus ours; below zero where we cost more.",
                "currencyUSD",
                (
                    f"(sum by (namespace, name) (rate(kcloud_baseline_cost_usd_total{{{WORKLOAD}}}[$__rate_interval]))"
                    f" - sum by (namespace, name) (rate(kcloud_actual_cost_usd_total{{{WORKLOAD}}}[$__rate_interval])))"
                    " * 3600",
                    "{{namespace}}/{{name}}",
                ),
            ),
            graph(
                "Optimization score",
                "Share of demand served within its objective times least feasible cost over actual cost.",
                "percentunit",
                (f"max by (namespace, name) (kcloud_optimization_score{{{WORKLOAD}}})", "{{namespace}}/{{name}}"),
            ),
        ),
    ),
)
