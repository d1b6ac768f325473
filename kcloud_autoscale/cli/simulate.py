"""`kcloud-autoscale simulate`: what would this have done on my history?"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from kcloud_autoscale.cli.demand_source import from_options, only
from kcloud_autoscale.cli.options import add_prometheus, check_outputs, positive, refuse_prometheus, writing
from kcloud_autoscale.cli.scenario_file import read_fleet, read_scenario
from kcloud_autoscale.domain.errors import ConfigError
from kcloud_autoscale.domain.policy import BudgetPeriod, CapUnit, CostScope, WorkloadPolicy
from kcloud_autoscale.report.simulation import write_report
from kcloud_autoscale.simulate.predictive import plain_workload
from kcloud_autoscale.simulate.run import POLICIES, Outcome, simulate
from kcloud_autoscale.simulate.scenario import Scenario, ScenarioOutcome, replay_scenario
from kcloud_autoscale.simulate.table import comparison, scenario_table, write_decisions
from kcloud_autoscale.simulate.traces import DEFAULT_STEP_SECONDS, Trace, read_trace
from kcloud_autoscale.simulate.world import MOST_REPLICAS, WorldRules, default_ceiling

_DESCRIPTION = """Replay demand through the operator's own decisions in a simulated world, beside what else you might
run: HPA at 70 %, HPA tuned with hindsight, KEDA, predictive-horizontal-pod-autoscaler, a static peak, and perfect
foresight with the same start-up lag. A step violates when its demand exceeds what the ready replicas serve."""

_DEFAULT_POLICIES = "predictive,hpa,static,oracle"

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
_NOT_OF_SEVERAL = ["policy", "report", "query", "days", "prometheus_token_file"]


def add_parser(subparsers: Any) -> None:
    """Declare the verb."""
    parser = subparsers.add_parser("simulate", description=_DESCRIPTION)
    _add_demand(parser.add_argument_group("demand"))
    _add_world(parser.add_argument_group("world; what is not given comes from the optimizer"))
    _add_caps(parser.add_argument_group("prices, and hard caps of the predictive policy"))
    parser.add_argument(
        "--policy",
        metavar="NAMES",
        help=f"comma-separated, from {', '.join(POLICIES)} (default: {_DEFAULT_POLICIES})",
    )
    parser.add_argument(
        "--decisions", type=Path, metavar="FILE", help="CSV of the first policy's decisions; others beside it by name"
    )
    parser.add_argument("--report", type=Path, metavar="FILE", help="one self-contained HTML file")
    parser.add_argument("--quiet", action="store_true", help="print nothing but the table")
    parser.set_defaults(run=run)


def _add_demand(group: Any) -> None:
    source = group.add_mutually_exclusive_group(required=True)
    source.add_argument("--trace", type=Path, metavar="FILE", help="CSV, CSV.GZ or Parquet")
    add_prometheus(source, group, "one series")
    source.add_argument(
        "--scenario", type=Path, metavar="FILE", help="YAML: several workloads that share caps, predictive only"
    )
    group.add_argument("--column", metavar="NAME", help="load per second; needed where the file has several columns")
    group.add_argument(
        "--step-seconds",
        type=float,
        metavar="S",
        help=f"length of a step; default: that of the file, or {DEFAULT_STEP_SECONDS:g} where it names no times",
    )
    group.add_argument(
        "--history-steps", type=int, metavar="N", help="steps known at the start, neither decided nor scored"
    )


def _add_world(group: Any) -> None:
    group.add_argument("--capacity-per-replica", type=float, metavar="K", help="load per second a replica serves")
    group.add_argument("--startup-seconds", type=float, metavar="S", help="from an order to a ready replica")
    group.add_argument("--min-replicas", type=int, metavar="N", help="default 1")
    group.add_argument(
        "--max-replicas",
        type=int,
        metavar="N",
        help=f"default: {MOST_REPLICAS}, or --min-replicas where that is more; the optimizer's, where there is one",
    )
    group.add_argument(
        "--optimizer", type=Path, metavar="FILE", help="manifest with one WorkloadOptimizer: bounds, caps, behavior"
    )
    group.add_argument(
        "--settle-seconds",
        type=float,
        metavar="S",
        help="how long after its end a step is learned, as SETTLE_SECONDS of an operator, which has 10 (default: 0)",
    )


def _add_caps(group: Any) -> None:
    group.add_argument("--usd-per-replica-hour", type=float, metavar="USD")
    group.add_argument("--watts-per-replica", type=float, metavar="W")
    group.add_argument("--grams-co2e-per-kwh", type=float, metavar="G", help="carbon intensity of the grid")
    group.add_argument("--max-cost-per-hour", type=float, metavar="USD")
    group.add_argument("--max-power-usage", type=float, metavar="W")
    group.add_argument("--budget-limit", type=float, metavar="USD")
    group.add_argument("--budget-period", choices=[period.value for period in BudgetPeriod], help="default Total")


def run(args: argparse.Namespace) -> int:
    """Simulate and report; 0."""
    check_outputs(args, ("--decisions", "--report"))
    if args.scenario is not None:
        return _scenario(args)
    workload, scopes = _workload(args)
    rules = _rules(args, workload)
    trace = _trace(args)
    outcomes = _simulated(args, trace, rules, workload, scopes)
    print(comparison(outcomes))
    if args.max_replicas is None and args.optimizer is None:
        for name, outcome in outcomes.items():
            _say_ceiling(args, name, outcome, rules)
    with writing():
        _write(args, trace, rules, outcomes)
    return 0


def _scenario(args: argparse.Namespace) -> int:
    """Several workloads at once; everything about them is in the file."""
    for names, why in (
        (_NOT_OF_SEVERAL, "which replays files under predictive alone, and writes no report"),
        (_IN_ITS_OBJECTS, "whose objects may be a WorkloadOptimizer or a CostPolicy with a budget"),
        (_IN_THE_FILE, "whose file says it"),
    ):
        given = [f"--{name.replace('_', '-')}" for name in names if getattr(args, name) is not None]
        if given:
            raise ConfigError(f"{', '.join(given)} cannot be used with --scenario, {why}")
    scenario, notes = read_scenario(args.scenario)
    for note in notes:
        _say(args, f"{args.scenario}: {note}")
    for member in scenario.members:
        for repair in member.trace.repairs:
            _say(args, f"{member.trace.name}: {repair}")
    outcome = replay_scenario(scenario, lambda steps: _progress(args, steps))
    print(scenario_table(scenario, outcome))
    if args.decisions is not None:
        with writing():
            _write_scenario(args.decisions, scenario, outcome)
    return 0


def _write_scenario(path: Path, scenario: Scenario, outcome: ScenarioOutcome) -> None:
    """A file per workload, which its name tells."""
    for member, run in zip(scenario.members, outcome.runs, strict=True):
        name = f"{path.stem}.{member.key.namespace}.{member.key.name}{path.suffix}"
        write_decisions(path.with_name(name), run, member.trace, member.rules)


def _say(args: argparse.Namespace, words: str) -> None:
    if not args.quiet:
        print(words, file=sys.stderr)


def _say_ceiling(args: argparse.Namespace, name: str, outcome: Outcome, rules: WorldRules) -> None:
    """A ceiling that nobody asked for is said where it binds."""
    bound, steps = outcome.score.ceiling_steps, len(outcome.run.replicas)
    if bound:
        most = rules.max_replicas
        _say(
            args, f"{name}: at the ceiling of {most} replicas in {bound} of {steps} steps; --max-replicas sets another"
        )


def _progress(args: argparse.Namespace, steps: Iterable[int]) -> Iterable[int]:
    shown = sys.stderr.isatty() and not args.quiet
    return tqdm(steps, desc="predictive", unit=" steps", leave=False, file=sys.stderr, disable=not shown)


def _trace(args: argparse.Namespace) -> Trace:
    step_seconds = positive(args.step_seconds, "--step-seconds")
    if args.trace is not None:
        refuse_prometheus(args)
        return read_trace(args.trace, args.column, step_seconds)
    if args.column is not None:
        raise ConfigError(f"--column {args.column} is a column of a file: it needs --trace")
    return only(from_options(args, time.time()), args.query)


def _simulated(
    args: argparse.Namespace, trace: Trace, rules: WorldRules, workload: WorkloadPolicy, scopes: tuple[CostScope, ...]
) -> dict[str, Outcome]:
    asked = _DEFAULT_POLICIES if args.policy is None else args.policy
    names = list(dict.fromkeys(name.strip() for name in asked.split(",") if name.strip()))
    if not names:
        raise ConfigError(f"--policy names none; there are {', '.join(POLICIES)}")
    for repair in trace.repairs:
        _say(args, f"{trace.name}: {repair}")
    began = time.perf_counter()

    def told(name: str) -> None:
        nonlocal began
        took = time.perf_counter() - began
        _say(args, f"{name}: {len(trace.demand) - rules.history_steps} steps in {took:.1f} s")
        began = time.perf_counter()

    def watch(steps: Iterable[int]) -> Iterable[int]:
        return _progress(args, steps)

    return simulate(trace, rules, names, workload, told, args.report is not None, watch, scopes)


def _write(args: argparse.Namespace, trace: Trace, rules: WorldRules, outcomes: dict[str, Outcome]) -> None:
    if args.report is not None:
        write_report(args.report, outcomes, trace, rules, ["kcloud-autoscale", *sys.argv[1:]])
    if args.decisions is None:
        return
    for index, (name, outcome) in enumerate(outcomes.items()):
        beside = args.decisions.with_name(f"{args.decisions.stem}.{name}{args.decisions.suffix}")
        write_decisions(beside if index else args.decisions, outcome.run, trace, rules)


def _workload(args: argparse.Namespace) -> tuple[WorkloadPolicy, tuple[CostScope, ...]]:
    """The optimizer's knobs, or the defaults, with the caps that the command line names; budgets of its policies."""
    workload, scopes = (plain_workload(), ()) if args.optimizer is None else _optimizer(args)
    caps = workload.caps
    if args.max_cost_per_hour is not None:
        caps = replace(caps, max_usd_per_hour=positive(args.max_cost_per_hour, "--max-cost-per-hour"))
    if args.max_power_usage is not None:
        caps = replace(caps, max_watts=positive(args.max_power_usage, "--max-power-usage"))
    if args.budget_limit is not None:
        caps = replace(caps, budget_usd=positive(args.budget_limit, "--budget-limit"))
    if args.budget_period is not None:
        if caps.budget_usd is None:
            raise ConfigError(f"--budget-period {args.budget_period} needs a budget: --budget-limit")
        caps = replace(caps, budget_period=BudgetPeriod(args.budget_period))
    # A cap without the price or the watts it is counted in could not hold.
    if args.usd_per_replica_hour is None and (caps.max_usd_per_hour or caps.budget_usd or scopes):
        raise ConfigError("a cost cap or budget needs --usd-per-replica-hour")
    if args.watts_per_replica is None and caps.max_watts:
        raise ConfigError("a power cap needs --watts-per-replica")
    if args.watts_per_replica is None and args.grams_co2e_per_kwh is not None:
        raise ConfigError("--grams-co2e-per-kwh needs --watts-per-replica")
    return replace(workload, caps=caps), scopes


def _optimizer(args: argparse.Namespace) -> tuple[WorkloadPolicy, tuple[CostScope, ...]]:
    """The one WorkloadOptimizer of a manifest with the caps of the policies beside it, resolved as the operator does.

    The workload is the only one in its world, so a limit it shares is its own: the lower of the two counts.
    """
    path: Path = args.optimizer
    resolved = read_fleet(path)
    fleet = resolved.fleet
    for note in resolved.notes:
        _say(args, f"{path}: {note}")
    if len(fleet.workloads) != 1:
        raise ConfigError(f"{path}: one WorkloadOptimizer is needed, there are {len(fleet.workloads)}")
    workload = next(iter(fleet.workloads.values()))
    caps = workload.caps
    for cap in fleet.shared_caps:
        if cap.unit is CapUnit.USD_PER_HOUR:
            caps = replace(caps, max_usd_per_hour=min(cap.limit, caps.max_usd_per_hour or cap.limit))
        else:
            caps = replace(caps, max_watts=min(cap.limit, caps.max_watts or cap.limit))
    return replace(workload, caps=caps), resolved.budgets


def _rules(args: argparse.Namespace, workload: WorkloadPolicy) -> WorldRules:
    capacity = workload.capacity_per_replica if args.capacity_per_replica is None else args.capacity_per_replica
    startup = workload.lead_time_seconds if args.startup_seconds is None else args.startup_seconds
    if capacity is None:
        raise ConfigError("--capacity-per-replica is needed")
    if startup is None:
        raise ConfigError("--startup-seconds is needed")
    least = workload.min_replicas if args.min_replicas is None else args.min_replicas
    most = workload.max_replicas if args.optimizer is not None else default_ceiling(least)
    return WorldRules(
        capacity_per_replica=capacity,
        startup_seconds=startup,
        min_replicas=least,
        max_replicas=most if args.max_replicas is None else args.max_replicas,
        usd_per_replica_hour=positive(args.usd_per_replica_hour, "--usd-per-replica-hour"),
        watts_per_replica=positive(args.watts_per_replica, "--watts-per-replica"),
        grams_per_kwh=positive(args.grams_co2e_per_kwh, "--grams-co2e-per-kwh"),
        history_steps=args.history_steps or 0,
        settle_seconds=args.settle_seconds or 0.0,
    )
