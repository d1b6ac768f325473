"""`kcloud-autoscale simulate --scenario`: several workloads that share caps, under one policy or several."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tqdm import tqdm

from kcloud_autoscale.cli.options import writing
from kcloud_autoscale.cli.scenario_file import read_scenario
from kcloud_autoscale.domain.errors import ConfigError
from kcloud_autoscale.simulate.policies import POLICIES, WITHOUT_CAPS
from kcloud_autoscale.simulate.scenario_run import ScenarioOutcome, replay_scenario
from kcloud_autoscale.simulate.table import scenario_comparison, write_decisions

# What a scenario says of each of its workloads, what its objects say, and what it has no place for.
_IN_THE_FILE = [
    "column",
    "step_seconds",
    "history_steps",
    "settle_seconds",
    "capacity_per_replica",
    "startup_seconds",
    "min_replicas",
    "max_replicas",
    "optimizer",
    "usd_per_replica_hour",
    "watts_per_replica",
    "grams_co2e_per_kwh",
    "max_cost_per_hour",
    "max_power_usage",
]
_IN_ITS_OBJECTS = ["budget_limit", "budget_period"]
_NOT_OF_SEVERAL = ["report", "query", "days", "prometheus_token_file"]


def run_scenario(args: argparse.Namespace, policies: Sequence[str]) -> int:
    """Several workloads at once; everything about them is in the file."""
    for names, why in (
        (_NOT_OF_SEVERAL, "which replays files, and writes no report"),
        (_IN_ITS_OBJECTS, "whose objects may be a WorkloadOptimizer or a CostPolicy with a budget"),
        (_IN_THE_FILE, "whose file says it"),
    ):
        given = [f"--{name.replace('_', '-')}" for name in names if getattr(args, name) is not None]
        if given:
            raise ConfigError(f"{', '.join(given)} cannot be used with --scenario, {why}")
    scenario, notes = read_scenario(args.scenario)
    for note in notes:
        say(args, f"{args.scenario}: {note}")
    for member in scenario.members:
        for repair in member.trace.repairs:
            say(args, f"{member.trace.name}: {repair}")
    if args.without_caps and not scenario.capped:
        raise ConfigError("--without-caps needs caps or budgets to leave out: there is none")
    outcomes = replay_scenario(scenario, policies, lambda steps: progress(args, steps))
    if args.without_caps:
        free = replay_scenario(scenario.without_caps(), policies, lambda steps: progress(args, steps))
        outcomes |= {f"{name}{WITHOUT_CAPS}": outcome for name, outcome in free.items()}
    print(scenario_comparison(outcomes))
    if args.decisions is not None:
        with writing():
            _write(args.decisions, outcomes)
    return 0


def _write(path: Path, outcomes: Mapping[str, ScenarioOutcome]) -> None:
    """A file per workload, which its name tells; those of the first policy do not name it."""
    for index, (policy, outcome) in enumerate(outcomes.items()):
        stem = f"{path.stem}.{policy}" if index else path.stem
        for member, run in zip(outcome.scenario.members, outcome.runs, strict=True):
            name = f"{stem}.{member.key.namespace}.{member.key.name}{path.suffix}"
            write_decisions(path.with_name(name), run, member.trace, member.rules)


def policy_names(args: argparse.Namespace, usual: str) -> list[str]:
    """Those asked for, each once."""
    asked = usual if args.policy is None else args.policy
    names = list(dict.fromkeys(name.strip() for name in asked.split(",") if name.strip()))
    if not names:
        raise ConfigError(f"--policy names none; there are {', '.join(POLICIES)}")
    return names


def say(args: argparse.Namespace, words: str) -> None:
    """Beside the table, unless it alone is wanted."""
    if not args.quiet:
        print(words, file=sys.stderr)


def progress(args: argparse.Namespace, steps: Iterable[int]) -> Iterable[int]:
    """The steps, with a bar on a terminal."""
    shown = sys.stderr.isatty() and not args.quiet
    return tqdm(steps, desc="predictive", unit=" steps", leave=False, file=sys.stderr, disable=not shown)
