"""The chart's alerts by the real promtool: each fires on what it is for, and is silent on a fleet that is well."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from hack.chart.release import CHART

pytestmark = pytest.mark.integration

RULES = CHART / "files" / "alerts.yaml"
OPERATOR = 'job="kcloud", instance="a:8080"'
STANDBY = 'job="kcloud", instance="b:8080"'
WORKLOAD = f'{OPERATOR}, namespace="ai", name="chat"'
# One leads and cycles every minute, one stands by and has never done so; a workload serves all but 1 % of its load.
WELL = {
    f"kcloud_leader{{{OPERATOR}}}": "1x600",
    f"kcloud_leader{{{STANDBY}}}": "0x600",
    f"kcloud_last_cycle_timestamp_seconds{{{OPERATOR}}}": "0+60x600",
    f"kcloud_last_cycle_timestamp_seconds{{{STANDBY}}}": "0x600",
    f'kcloud_prometheus_queries_total{{{OPERATOR}, outcome="ok"}}': "0+10x600",
    f'kcloud_prometheus_queries_total{{{OPERATOR}, outcome="error"}}': "0x600",
    f'kcloud_scale_actions_total{{{OPERATOR}, outcome="Written"}}': "0+1x600",
    f"kcloud_invalid_objects{{{OPERATOR}}}": "0x600",
    f"kcloud_statuses_incomplete{{{OPERATOR}}}": "0x600",
    f"kcloud_ledger_written_timestamp_seconds{{{OPERATOR}}}": "0+60x600",
    f"kcloud_ledger_written_timestamp_seconds{{{STANDBY}}}": "0x600",
    f"kcloud_clock_error_seconds{{{OPERATOR}}}": "0x600",
    f'kcloud_forecast_worker_deaths_total{{{OPERATOR}, reason="Killed"}}': "0x600",
    f"kcloud_actual_demand_missed_total{{{WORKLOAD}}}": "0+10x600",
    f"kcloud_actual_demand_served_total{{{WORKLOAD}}}": "0+990x600",
    f"kcloud_baseline_cost_usd_total{{{WORKLOAD}}}": "0+10x600",
    f"kcloud_unproven_cost_usd_total{{{WORKLOAD}}}": "0+0.1x600",
    f"kcloud_uncapped_replicas{{{WORKLOAD}}}": "4x600",
    f"kcloud_desired_replicas{{{WORKLOAD}}}": "4x600",
    f'kcloud_condition{{{WORKLOAD}, condition="Conflict", status="False"}}': "1x600",
    f"kcloud_forecast_trusted{{{WORKLOAD}}}": "1x600",
}


@dataclass
class Fault:
    """Series that differ from `WELL`, and the labels of the alert that must fire at 10 h; None takes a series away."""

    alert: str
    series: dict[str, str | None]
    labels: dict[str, str] = field(default_factory=dict)


ONE_PROCESS = {"job": "kcloud", "instance": "a:8080"}
# Whoever leads: an alert goes on when another process takes over.
OF_THE_OPERATOR = {"job": "kcloud"}
OF_THE_WORKLOAD = {**OF_THE_OPERATOR, "namespace": "ai", "name": "chat"}
FAULTS = [
    Fault("KcloudNobodyLeads", {f"kcloud_leader{{{OPERATOR}}}": "1x300 0x300"}),
    Fault("KcloudNobodyLeads", {f"kcloud_leader{{{OPERATOR}}}": None, f"kcloud_leader{{{STANDBY}}}": None}),
    Fault(
        "KcloudCycleStale",
        {f"kcloud_last_cycle_timestamp_seconds{{{OPERATOR}}}": "0+60x580 34800x20"},
        ONE_PROCESS,
    ),
    Fault(
        "KcloudPrometheusFailing",
        {f'kcloud_prometheus_queries_total{{{OPERATOR}, outcome="error"}}': "0x500 0+5x100"},
        OF_THE_OPERATOR,
    ),
    Fault(
        "KcloudWritesRefused",
        {f'kcloud_scale_actions_total{{{OPERATOR}, outcome="Refused"}}': "0x500 0+1x100"},
        OF_THE_OPERATOR,
    ),
    Fault(
        "KcloudLedgerNotWritten",
        {f"kcloud_ledger_written_timestamp_seconds{{{OPERATOR}}}": "0+60x580 34800x20"},
        OF_THE_OPERATOR,
    ),
    Fault("KcloudClockWrong", {f"kcloud_clock_error_seconds{{{OPERATOR}}}": "0x500 -86400x100"}, OF_THE_OPERATOR),
    Fault("KcloudStatusRefused", {f"kcloud_statuses_incomplete{{{OPERATOR}}}": "0x500 1x100"}, OF_THE_OPERATOR),
    Fault("KcloudInvalidObjects", {f"kcloud_invalid_objects{{{OPERATOR}}}": "0x500 2x100"}, OF_THE_OPERATOR),
    Fault(
        "KcloudForecastWorkerDies",
        {f'kcloud_forecast_worker_deaths_total{{{OPERATOR}, reason="Killed"}}': "0x560 0+1x40"},
        OF_THE_OPERATOR,
    ),
    Fault("KcloudDemandMissed", {f"kcloud_actual_demand_missed_total{{{WORKLOAD}}}": "0+100x600"}, OF_THE_WORKLOAD),
    Fault("KcloudLimitBinds", {f"kcloud_desired_replicas{{{WORKLOAD}}}": "4x500 3x100"}, OF_THE_WORKLOAD),
    Fault("KcloudSavingsUnproven", {f"kcloud_unproven_cost_usd_total{{{WORKLOAD}}}": "0+2x600"}, OF_THE_WORKLOAD),
    Fault(
        "KcloudBudgetRunsOut",
        {f"kcloud_budget_exhaustion_timestamp_seconds{{{WORKLOAD}}}": "40000x600"},
        OF_THE_WORKLOAD,
    ),
    Fault(
        "KcloudConflict",
        {f'kcloud_condition{{{WORKLOAD}, condition="Conflict", status="True"}}': "_x500 1x100"},
        {**OF_THE_WORKLOAD, "condition": "Conflict", "status": "True"},
    ),
    Fault("KcloudForecastNotTrusted", {f"kcloud_forecast_trusted{{{WORKLOAD}}}": "1x100 0x500"}, OF_THE_WORKLOAD),
]  # fmt: skip


def firing(tool: Callable[[str], Path], folder: Path, series: dict[str, str | None]) -> set[tuple[str, str]]:
    """Alerts that fire at 10 h, by the real evaluation: name and the labels without the severity."""
    names = [rule["alert"] for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
    test = {
        "rule_files": [str(RULES)],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": name, "values": values} for name, values in series.items() if values],
                # Each is said to be silent: promtool then tells which is not, and with what labels.
                "alert_rule_test": [{"eval_time": "10h", "alertname": name, "exp_alerts": []} for name in names],
            }
        ],
    }
    file = folder / "test.yaml"
    file.write_text(yaml.safe_dump(test))
    answer = subprocess.run(
        [str(tool("promtool")), "test", "rules", str(file)], capture_output=True, text=True, check=False
    )
    said = answer.stdout + answer.stderr
    assert "FAILED" in said or answer.returncode == 0, said
    found = set()
    for line in said.splitlines():
        if "Labels:{" in line:
            labels = dict(part.split("=", 1) for part in line.split("Labels:{", 1)[1].split("}", 1)[0].split(", "))
            plain = {name: value.strip('"') for name, value in labels.items()}
            name = plain.pop("alertname")
            plain.pop("severity")
            found.add((name, str(sorted(plain.items()))))
    return found


def test_nothing_fires_while_all_is_well(tool: Callable[[str], Path], tmp_path: Path):
    assert firing(tool, tmp_path, dict(WELL)) == set()


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.alert}-{len(fault.series)}")
def test_an_alert_fires_on_what_it_is_for_and_alone(fault: Fault, tool: Callable[[str], Path], tmp_path: Path):
    expected = {(fault.alert, str(sorted(fault.labels.items())))}
    assert firing(tool, tmp_path, {**WELL, **fault.series}) == expected


def test_every_alert_is_tried():
    rules = [rule["alert"] for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
    assert {fault.alert for fault in FAULTS} == set(rules)
