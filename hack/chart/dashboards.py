"""The Grafana dashboards of the chart, as code: what was saved, how one workload is scaled, how the operator fares.

Every panel has a title, a description and a unit, every counter stands in a rate or an increase, and the data source is
a variable, because the sidecar that loads dashboards fills in no inputs.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from hack.chart import operator_panels, savings_panels, workload_panels
from hack.chart.panels import Panel, Row

COLUMNS = 24


@dataclass(frozen=True, slots=True)
class Variable:
    """A choice at the top of a dashboard, from the values of a label."""

    name: str
    label: str
    of: str
    several: bool = True


@dataclass(frozen=True, slots=True)
class Dashboard:
    """One dashboard: its file, its words, its choices, its rows from top to bottom."""

    uid: str
    title: str
    description: str
    variables: tuple[Variable, ...]
    rows: tuple[Row, ...]
    since: str = "now-7d"


JOB = Variable("job", "Job", "label_values(kcloud_workloads, job)")
INSTANCE = Variable("instance", "Instance", 'label_values(kcloud_workloads{job=~"$job"}, instance)')
NAMESPACE = Variable("namespace", "Namespace", 'label_values(kcloud_desired_replicas{job=~"$job"}, namespace)')
NAME = Variable("name", "Workload", 'label_values(kcloud_desired_replicas{job=~"$job", namespace=~"$namespace"}, name)')

DASHBOARDS = (
    Dashboard(
        "kcloud-savings",
        "kcloud: what was saved",
        "Money, energy, carbon and missed load: what ran beside what the baseline would have run on the same load.",
        (JOB, INSTANCE, NAMESPACE, NAME),
        savings_panels.ROWS,
    ),
    Dashboard(
        "kcloud-workload",
        "kcloud: one workload",
        "Load, forecast, replicas, limits and the reasons of one workload.",
        (
            JOB,
            INSTANCE,
            Variable("namespace", "Namespace", NAMESPACE.of, several=False),
            Variable("name", "Workload", NAME.of, several=False),
        ),
        workload_panels.ROWS,
        "now-24h",
    ),
    Dashboard(
        "kcloud-operator",
        "kcloud: the operator",
        "Whether the operator itself is well: cycles, sources, writes, forecasting, memory.",
        (JOB, INSTANCE),
        operator_panels.ROWS,
        "now-6h",
    ),
)


def render_dashboards() -> dict[str, str]:
    """Files by name."""
    return {f"{each.uid}.json": json.dumps(_dashboard(each), indent=2) + "\n" for each in DASHBOARDS}


def _dashboard(dashboard: Dashboard) -> dict[str, Any]:
    return {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "description": dashboard.description,
        "tags": ["kcloud"],
        "editable": False,
        "graphTooltip": 1,
        "schemaVersion": 39,
        "refresh": "1m",
        "time": {"from": dashboard.since, "to": "now"},
        "timezone": "browser",
        "templating": {"list": [_data_source(), *[_variable(each) for each in dashboard.variables]]},
        "panels": _laid_out(dashboard.rows),
    }


def _data_source() -> dict[str, Any]:
    return {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"}


def _variable(variable: Variable) -> dict[str, Any]:
    several = {"multi": True, "includeAll": True, "allValue": ".+", "current": {"text": "All", "value": "$__all"}}
    return {
        "name": variable.name,
        "label": variable.label,
        "type": "query",
        "datasource": {"type": "prometheus", "uid": "${datasource}"},
        "query": {"query": variable.of, "refId": variable.name},
        "refresh": 2,
        "sort": 1,
        **(several if variable.several else {"multi": False, "includeAll": False}),
    }


def _laid_out(rows: tuple[Row, ...]) -> list[dict[str, Any]]:
    """Panels beside each other in their rows, each row as high as it asks for."""
    panels: list[dict[str, Any]] = []
    top = 0
    for row in rows:
        title = {"type": "row", "title": row.title, "collapsed": False, "panels": []}
        panels.append({"id": len(panels) + 1, **title, "gridPos": {"x": 0, "y": top, "w": COLUMNS, "h": 1}})
        top += 1
        width = COLUMNS // len(row.panels)
        for index, panel in enumerate(row.panels):
            place = {"x": index * width, "y": top, "w": width, "h": row.height}
            panels.append({"id": len(panels) + 1, **_panel(panel), "gridPos": place})
        top += row.height
    return panels


def _panel(panel: Panel) -> dict[str, Any]:
    defaults: dict[str, Any] = {"unit": panel.unit, **({"min": 0} if panel.from_zero else {})}
    if panel.type == "timeseries":
        defaults["custom"] = {"lineWidth": 1, "fillOpacity": panel.fill, "lineInterpolation": "stepAfter"}
    options: dict[str, Any] = {}
    if panel.type == "timeseries":
        options = {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}}
    elif panel.type == "stat":
        options = {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "value", "graphMode": "none"}
    return {
        "type": panel.type,
        "title": panel.title,
        "description": panel.description,
        "datasource": {"type": "prometheus", "uid": "${datasource}"},
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": options,
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": {"type": "prometheus", "uid": "${datasource}"},
                "expr": target.query,
                "legendFormat": target.legend,
                **({"instant": True, "range": False, "format": "table"} if panel.type == "table" else {}),
                **({"instant": True, "range": False} if panel.type == "stat" else {}),
            }
            for index, target in enumerate(panel.targets)
        ],
    }
