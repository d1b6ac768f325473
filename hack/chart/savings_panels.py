"""What was saved, from counters alone: they begin at 0 with each process, so increases are taken first and then summed.

Each process, and each of several replicas, counts what it did itself, so that the sum over instances is right across
restarts and fail-over. Saved is baseline - compared - unproven: signed, over the time in which both sides are known.
"""

from __future__ import annotations

from hack.chart.panels import WORKLOAD, Panel, Row, graph, stat

_PER_WORKLOAD = " by (namespace, name)"


def _used(side: str, name: str, window: str = "$__range", by: str = "", of: str = "increase") -> str:
    return f"sum{by} ({of}(kcloud_{side}_{name}_total{{{WORKLOAD}}}[{window}]))"


def _saved(name: str, scale: str = "", window: str = "$__range", by: str = "", of: str = "increase") -> str:
    baseline, compared, unproven = (_used(side, name, window, by, of) for side in ("baseline", "compared", "unproven"))
    return f"({baseline} - {compared} - {unproven}){scale}"


def _share(name: str) -> str:
    return f"{_saved(name)} / {_used('baseline', name)}"


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
          for side, legend in (("baseline", "baseline"), ("compared", "ours"))],
    )  # fmt: skip


ROWS = (
    Row(
        "Over the time shown",
        (
            stat(
                "Saved",
                "US dollars: baseline minus ours, while as much was served as the baseline would have.",
                "currencyUSD",
                _saved("cost_usd"),
            ),
            stat(
                "Unproven",
                "US dollars that were not spent while less was served than the baseline would have: not saved.",
                "currencyUSD",
                _used("unproven", "cost_usd"),
            ),
            stat("Spent", "US dollars, whatever the baseline knows.", "currencyUSD", _used("actual", "cost_usd")),
            stat("Of the baseline's cost", "Share of its money that was not spent.", "percentunit", _share("cost_usd")),
            stat("Energy saved", "Baseline minus ours.", "watth", _saved("energy_joules", " / 3600")),
            stat("Carbon saved", "Grams of CO2 equivalent: baseline minus ours.", "massg", _saved("carbon_grams")),
            stat("Load missed by us", "Share beyond the ready capacity.", "percentunit", _missed("compared")),
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
                    _saved("cost_usd", " * 3600", "$__rate_interval", _PER_WORKLOAD, "rate"),
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
