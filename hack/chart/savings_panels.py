"""What was saved, from the totals of the ledger: no kill and no fail-over loses any of them.

A total only grows within one life of a ledger, which the label `since` names, whichever process exports it. So what it
grew by is its largest less its smallest value, of all instances together, and how fast it grows is the slope of any.
Saved is baseline - compared - unproven: signed, over the time in which both sides are known.
"""

from __future__ import annotations

from hack.chart.panels import WORKLOAD, Panel, Row, graph, stat

_LIFE = "namespace, name, since"


def _grown(side: str, name: str) -> str:
    total = f"kcloud_lifetime_{side}_{name}{{{WORKLOAD}}}[$__range]"
    return f"sum (max by ({_LIFE}) (max_over_time({total})) - min by ({_LIFE}) (min_over_time({total})))"


def _saved(name: str, scale: str = "") -> str:
    baseline, compared, unproven = (_grown(side, name) for side in ("baseline", "compared", "unproven"))
    return f"({baseline} - {compared} - {unproven}){scale}"


def _share(name: str) -> str:
    return f"{_saved(name)} / {_grown('baseline', name)}"


def _missed(side: str) -> str:
    missed = _grown(side, "demand_missed")
    return f"{missed} / ({missed} + {_grown(side, 'demand_served')})"


def _slope(side: str, name: str, by: str = "") -> str:
    total = f"kcloud_lifetime_{side}_{name}{{{WORKLOAD}}}[$__rate_interval]"
    return f"sum{by} (max by ({_LIFE}) (deriv({total})))"


def _beside(title: str, description: str, unit: str, name: str, scale: str) -> Panel:
    """Both sides' rate over time."""
    return graph(
        title,
        description,
        unit,
        (f"{_slope('baseline', name)}{scale}", "baseline"),
        (f"{_slope('compared', name)}{scale}", "ours"),
    )


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
                _grown("unproven", "cost_usd"),
            ),
            stat("Spent", "US dollars, whatever the baseline knows.", "currencyUSD", _grown("actual", "cost_usd")),
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
                    "({} - {} - {}) * 3600".format(
                        *(
                            _slope(side, "cost_usd", " by (namespace, name)")
                            for side in ("baseline", "compared", "unproven")
                        )
                    ),
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
