"""Words of a dashboard: rows of panels, each with what it asks Prometheus for."""

from __future__ import annotations

from dataclasses import dataclass

OPERATOR = 'job=~"$job", instance=~"$instance"'
WORKLOAD = f'{OPERATOR}, namespace=~"$namespace", name=~"$name"'


@dataclass(frozen=True, slots=True)
class Target:
    """One query and what its series are called."""

    query: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """One picture; ``unit`` is Grafana's name of it."""

    title: str
    description: str
    unit: str
    targets: tuple[Target, ...]
    type: str = "timeseries"
    from_zero: bool = True
    fill: int = 0


@dataclass(frozen=True, slots=True)
class Row:
    """Panels of equal width beside each other."""

    title: str
    panels: tuple[Panel, ...]
    height: int = 8


def stat(title: str, description: str, unit: str, query: str) -> Panel:
    """A number."""
    return Panel(title, description, unit, (Target(query),), type="stat", from_zero=False)


def graph(title: str, description: str, unit: str, *targets: tuple[str, str], fill: int = 0) -> Panel:
    """Lines over time, from zero: (query, legend) each."""
    return Panel(title, description, unit, tuple(Target(*each) for each in targets), fill=fill)
