"""What the chart says must be true of the code: metrics that exist, settings that exist, one version."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from hack.chart.dashboards import COLUMNS, render_dashboards
from hack.chart.values_schema import CHARTS_OWN, render_values_schema
from kcloud_autoscale.operator.metrics import render_markdown
from kcloud_autoscale.operator.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "kcloud-operator"
DASHBOARDS = {name: json.loads(text) for name, text in render_dashboards().items()}
PANELS = [
    pytest.param(panel, id=f"{name}: {panel['title']}")
    for name, dashboard in DASHBOARDS.items()
    for panel in dashboard["panels"]
    if panel["type"] != "row"
]
ALERTS = [
    pytest.param(rule, id=rule["alert"])
    for group in yaml.safe_load((CHART / "files" / "alerts.yaml").read_text())["groups"]
    for rule in group["rules"]
]
# Labels that Prometheus itself adds to what it scrapes.
OF_THE_SCRAPE = {"job", "instance", "le"}


def documented() -> dict[str, tuple[str, set[str]]]:
    """Type and labels of every exported series, by name."""
    found: dict[str, tuple[str, set[str]]] = {}
    for line in render_markdown().splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) == 6 and cells[1].startswith("`"):
            name, labels = cells[1].strip("`"), {label.strip() for label in cells[3].split(",") if label.strip()}
            found[name] = (cells[2], labels)
            if cells[2] == "histogram":
                found |= {f"{name}_{part}": ("counter", labels) for part in ("bucket", "sum", "count")}
    return found


METRICS = documented()


def selectors(query: str) -> Iterator[tuple[str, set[str]]]:
    """Every metric of a query with the labels it is selected by."""
    for name, inside in re.findall(r"\b((?:kcloud|process)_\w+)(?:\{([^}]*)\})?", query):
        yield name, set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", inside or ""))


def grouped(query: str) -> set[str]:
    return {label.strip() for group in re.findall(r"\bby \(([^)]*)\)", query) for label in group.split(",")}


def check_query(query: str) -> None:
    names = list(selectors(query))
    assert names
    for name, labels in names:
        assert name in METRICS, f"{name} is not exported"
        kind, own = METRICS[name]
        assert labels <= own | OF_THE_SCRAPE, f"{name} has no label {labels - own - OF_THE_SCRAPE}"
        if kind == "counter":
            assert re.search(rf"(rate|increase)\({name}\b", query), f"{name} is a counter"
    assert grouped(query) <= set().union(*(METRICS[name][1] for name, _ in names)) | OF_THE_SCRAPE


@pytest.mark.parametrize("panel", PANELS)
def test_a_panel_asks_for_what_is_exported_and_says_what_it_shows(panel: dict[str, Any]) -> None:
    assert panel["title"]
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["datasource"]["uid"] == "${datasource}"
    for target in panel["targets"]:
        check_query(target["expr"])
        assert 'job=~"$job", instance=~"$instance"' in target["expr"]
        assert all(window in ("$__rate_interval", "$__range") for window in re.findall(r"\[([^]]+)\]", target["expr"]))
        # The legend names labels that are left after grouping.
        assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= grouped(target["expr"]) | OF_THE_SCRAPE


@pytest.mark.parametrize("dashboard", DASHBOARDS.values(), ids=DASHBOARDS)
def test_panels_lie_beside_and_below_each_other(dashboard: dict[str, Any]) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"])
                 for y in range(place["y"], place["y"] + place["h"])}  # fmt: skip
        assert not cells & taken
        assert max(x for x, _ in cells) < COLUMNS
        taken |= cells
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("rule", ALERTS)
def test_an_alert_asks_for_what_is_exported(rule: dict[str, Any]) -> None:
    check_query(rule["expr"])
    assert rule["labels"]["severity"] in ("critical", "warning", "info")
    assert set(rule["annotations"]) == {"summary", "description"}


def test_the_chart_has_the_version_of_the_package() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert (chart["version"], chart["appVersion"]) == (version, version)


def test_every_value_has_a_schema_and_every_schema_a_value() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    schema = json.loads(render_values_schema())

    def compare(given: dict[str, Any], described: dict[str, Any], where: str) -> None:
        expected = set(described["properties"]) - {"global"}
        assert set(given) == expected, f"{where}: {set(given) ^ expected}"
        for name, inner in described["properties"].items():
            if "properties" in inner and name != "settings":
                compare(given[name], inner, f"{where}.{name}")

    compare(values, schema, "values")


def test_every_setting_is_a_value_or_the_charts_own() -> None:
    names = {item.metadata["variable"] for item in fields(Settings)}
    assert names >= CHARTS_OWN
    described = json.loads(render_values_schema())["properties"]["settings"]["properties"]
    assert set(described) == names - CHARTS_OWN
