"""The savings dashboard by the real promtool: what its sums show across fail-over, successors and records read back."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from hack.chart.release import CHART

pytestmark = pytest.mark.integration

ONE, OTHER = 'instance="a:8080", pod="a"', 'instance="b:8080", pod="b"'
# By instance and life of the ledger: 60 values, a minute apart; the baseline grows by 3 $ a minute, ours by 2 $.
Story = dict[tuple[str, int], str]


@dataclass
class Case:
    """Minutes during which a process exports, and how many of them the totals grew by.

    Attributes:
        parts: Of (instance, life of the ledger): values of minutes counted, ``_`` where it exported nothing.
        minutes: That the range of an hour must show.
    """

    parts: Story
    minutes: int


def counted(*spans: tuple[int, int] | None, lead: int = 0) -> str:
    """``(first, last)`` minutes in turn, None for one of silence; before them ``lead`` minutes of silence."""
    words = [f"_x{lead - 1}"] if lead else []
    words += ["_" if span is None else f"{span[0]}+1x{span[1] - span[0]}" for span in spans]
    return " ".join(words)


CASES = {
    "a process that stays": Case({(ONE, 1): counted((1000, 1060))}, 60),
    # Dead for five minutes; the gap was made good.
    "a process that is killed": Case({(ONE, 1): counted((1000, 1030), None, None, None, None, (1035, 1060))}, 60),
    "another that takes over": Case({(ONE, 1): counted((1000, 1030)), (OTHER, 1): counted((1031, 1060), lead=31)}, 60),
    "two that overlap": Case({(ONE, 1): counted((1000, 1032)), (OTHER, 1): counted((1031, 1060), lead=31)}, 60),
    # A successor of the same name, or a record that was lost: 1,000 minutes of an earlier life are no saving.
    "a ledger that begins anew": Case({(ONE, 1): counted((1000, 1030)), (ONE, 2): counted((0, 29), lead=31)}, 59),
    "a record read back from a backup": Case({(ONE, 1): counted((1000, 1030), (1025, 1054))}, 54),
    "a workload that is new": Case({(ONE, 1): counted((0, 20), lead=40)}, 20),
    "one that is gone": Case({(ONE, 1): counted((1000, 1020))}, 20),
}


def expression(title: str) -> str:
    dashboard = json.loads((CHART / "dashboards" / "kcloud-savings.json").read_text())
    (found,) = [panel["targets"][0]["expr"] for panel in dashboard["panels"] if panel["title"] == title]
    for variable, value in {
        "$__range": "1h1m",
        "$job": ".+",
        "$instance": ".+",
        "$namespace": ".+",
        "$name": ".+",
    }.items():
        found = found.replace(variable, value)
    return str(found)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_the_sum_is_what_was_counted_once(case: Case, tool: Callable[[str], Path], tmp_path: Path):
    per_minute = {"baseline": 3.0, "compared": 2.0, "unproven": 0.0, "actual": 2.0}
    series = []
    for (instance, life), values in case.parts.items():
        for side, usd in per_minute.items():
            labels = f'job="kcloud", {instance}, namespace="ai", name="chat", since="{life}"'
            scaled = " ".join(_scaled(word, usd) for word in values.split())
            series.append({"series": f"kcloud_lifetime_{side}_cost_usd{{{labels}}}", "values": scaled})
    test = {
        "rule_files": [],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": series,
                "promql_expr_test": [
                    {
                        "expr": f"round({expression(title)}, 0.001)",
                        "eval_time": "1h",
                        "exp_samples": [{"labels": "{}", "value": usd * case.minutes}],
                    }
                    for title, usd in (("Saved", 1.0), ("Spent", 2.0), ("Unproven", 0.0))
                ],
            }
        ],
    }
    file = tmp_path / "test.yaml"
    file.write_text(yaml.safe_dump(test))
    answer = subprocess.run(
        [str(tool("promtool")), "test", "rules", str(file)], capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr


def _scaled(word: str, factor: float) -> str:
    """Minutes as money: ``1000+1x30`` at 3 $ a minute is ``3000+3x30``."""
    if word.startswith("_"):
        return word
    first, rest = word.split("+")
    step, times = rest.split("x")
    return f"{float(first) * factor:g}+{float(step) * factor:g}x{times}"
