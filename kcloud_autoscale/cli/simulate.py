"""`kcloud-autoscale simulate`: what would this have done on my history?"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from kcloud_autoscale.cli.demand_source import from_options, only
from kcloud_autoscale.cli.options import add_prometheus, check_outputs, positive, refuse_prometheus, writing
from kcloud_autoscale.cli.scenario_file import read_fleet
from kcloud_autoscale.cli.simulate_scenario import policy_names, progress, run_scenario, say
from kcloud_autoscale.domain.errors import ConfigError
from kcloud_autoscale.domain.policy import BudgetPeriod, Caps, CapUnit, CostScope, WorkloadPolicy
from kcloud_autoscale.report.simulation import Framing, write_report
from kcloud_autoscale.simulate.policies import POLICIES, WITHOUT_CAPS
from kcloud_autoscale.simulate.predictive import plain_workload
from kcloud_autoscale.simulate.run import Outcome, renamed, simulate
from kcloud_autoscale.simulate.table import comparison, limits_text, write_decisions
from kcloud_autoscale.simulate.trace_rows import Trace
from kcloud_autoscale.simulate.traces import DEFAULT_STEP_SECONDS, read_trace
from kcloud_autoscale.simulate.world import MOST_REPLICAS, WorldRules, default_ceiling

_DESCRIPTION = """Replay demand through the operator's own decisions in a simulated world, beside what else you might
run: HPA at 70 %, HPA tuned with hindsight, KEDA, predictive-horizontal-pod-autoscaler, a static peak, and perfect
foresight with the same start-up lag. A step violates when its demand exceeds what the ready replicas serve."""

_DEFAULT_POLICIES = "predictive,hpa,hpa-tuned,static,oracle"


def add_parser(subparsers: Any) -> None:
    """Declare the verb."""
    parser = subparsers.add_parser("simulate", description=_DESCRIPTION)
    _add_demand(parser.add_argument_group("demand"))
    _add_world(parser.add_argument_group("world; what is not given comes from the optimizer"))
    _add_caps(parser.add_argument_group("prices, and hard caps, which hold for every policy"))
    parser.add_argument(
        "--policy",
        metavar="NAMES",
        help=f"comma-separated, from {', '.join(POLICIES)} (default: {_DEFAULT_POLICIES}; of a scenario: predictive)",
    )
    parser.add_argument(
        "--without-caps", action="store_true", help="every policy once more as if there were no caps and budgets"
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
    source.add_argument("--scenario", type=Path, metavar="FILE", help="YAML: several workloads that share caps")
    group.add_argument("--column", metavar="NAME", help="load per second; needed where the file has several columns")
    group.add_argument("--events", action="store_true", help="each row is an event: count them, or sum --column")
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
        return run_scenario(args, policy_names(args, "predictive"))
    workload, scopes = _workload(args)
    rules = _rules(args, workload)
    trace = _trace(args)
    held = limits_text(workload.caps, scopes)
    if args.without_caps and not held:
        raise ConfigError("--without-caps needs caps or budgets to leave out: there is none")
    outcomes = _simulated(args, trace, rules, workload, scopes)
    print("\n".join([comparison(outcomes), *([_shown(held, args)] if held else [])]))
    if args.max_replicas is None and args.optimizer is None:
        for name, outcome in outcomes.items():
            _say_ceiling(args, name, outcome, rules)
    with writing():
        _write(args, trace, rules, outcomes, (_shown(held, args),) if held else ())
    return 0


def _shown(held: str, args: argparse.Namespace) -> str:
    return f"{held} Those {WITHOUT_CAPS.lstrip('-')} are held to none." if args.without_caps else held


def _say_ceiling(args: argparse.Namespace, name: str, outcome: Outcome, rules: WorldRules) -> None:
    """A ceiling that nobody asked for is said where it binds."""
    bound, steps = outcome.score.ceiling_steps, len(outcome.run.replicas)
    if bound:
        most = rules.max_replicas
        say(args, f"{name}: at the ceiling of {most} replicas in {bound} of {steps} steps; --max-replicas sets another")


def _trace(args: argparse.Namespace) -> Trace:
    step_seconds = positive(args.step_seconds, "--step-seconds")
    if args.trace is not None:
        refuse_prometheus(args)
        return read_trace(args.trace, args.column, step_seconds, args.events)
    if args.events:
        raise ConfigError("--events is about the rows of a file: it needs --trace")
    if args.column is not None:
        raise ConfigError(f"--column {args.column} is a column of a file: it needs --trace")
    return only(from_options(args, time.time()), args.query)


def _simulated(
    args: argparse.Namespace, trace: Trace, rules: WorldRules, workload: WorkloadPolicy, scopes: tuple[CostScope, ...]
) -> dict[str, Outcome]:
    names = policy_names(args, _DEFAULT_POLICIES)
    for repair in trace.repairs:
        say(args, f"{trace.name}: {repair}")
    began = time.perf_counter()

    def told(name: str) -> None:
        nonlocal began
        took = time.perf_counter() - began
        say(args, f"{name}: {len(trace.demand) - rules.history_steps} steps in {took:.1f} s")
        began = time.perf_counter()

    def watch(steps: Iterable[int]) -> Iterable[int]:
        return progress(args, steps)

    remember = args.report is not None
    outcomes = simulate(trace, rules, names, workload, told, remember, watch, scopes)
    if args.without_caps:
        free = replace(workload, caps=Caps())
        made = simulate(trace, rules, names, free, lambda name: told(f"{name}{WITHOUT_CAPS}"), remember, watch)
        outcomes |= {
            f"{name}{WITHOUT_CAPS}": renamed(outcome, f"{name}{WITHOUT_CAPS}") for name, outcome in made.items()
        }
    return outcomes


def _write(
    args: argparse.Namespace, trace: Trace, rules: WorldRules, outcomes: dict[str, Outcome], notes: tuple[str, ...]
) -> None:
    if args.report is not None:
        command = ["kcloud-autoscale", *sys.argv[1:]]
        write_report(args.report, outcomes, trace, rules, command, Framing(notes))
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
        say(args, f"{path}: {note}")
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
