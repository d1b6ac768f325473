"""`kcloud-autoscale simulate`: what would this have done on my history?"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tqdm import tqdm

from kcloud_autoscale.domain.errors import ConfigError
from kcloud_autoscale.domain.policy import BudgetPeriod, Caps
from kcloud_autoscale.report.simulation import write_report
from kcloud_autoscale.simulate.run import POLICIES, Outcome, simulate
from kcloud_autoscale.simulate.table import comparison, write_decisions
from kcloud_autoscale.simulate.traces import DEFAULT_STEP_SECONDS, Trace, read_trace
from kcloud_autoscale.simulate.world import WorldRules

_DESCRIPTION = """Replay a demand trace through the operator's own decisions in a simulated world, beside what else
you might run: HPA at 70 %, HPA tuned with hindsight, KEDA, predictive-horizontal-pod-autoscaler, a static peak, and
perfect foresight with the same start-up lag. A step violates when its demand exceeds what the ready replicas serve."""


def add_parser(subparsers: Any) -> None:
    """Declare the verb."""
    parser = subparsers.add_parser(
        "simulate", help="replay a demand trace and compare policies", description=_DESCRIPTION
    )
    parser.add_argument("--trace", type=Path, required=True, metavar="FILE", help="CSV, CSV.GZ or Parquet")
    parser.add_argument(
        "--column", metavar="NAME", help="demand column, load per second; needed where there are several"
    )
    parser.add_argument(
        "--capacity-per-replica", type=float, required=True, metavar="K", help="load per second a replica serves"
    )
    parser.add_argument(
        "--startup-seconds", type=float, required=True, metavar="S", help="from an order to a ready replica"
    )
    parser.add_argument(
        "--step-seconds",
        type=float,
        metavar="S",
        help=f"length of a step; default: that of the file, or {DEFAULT_STEP_SECONDS:g} where it names no times",
    )
    parser.add_argument(
        "--policy",
        default="predictive,hpa,static,oracle",
        metavar="NAMES",
        help=f"comma-separated, from {', '.join(POLICIES)} (default: %(default)s)",
    )
    parser.add_argument(
        "--history-steps", type=int, default=0, metavar="N", help="steps known at the start, neither decided nor scored"
    )
    _add_limits(parser)
    parser.add_argument(
        "--decisions", type=Path, metavar="FILE", help="CSV of the first policy's decisions; others beside it by name"
    )
    parser.add_argument("--report", type=Path, metavar="FILE", help="one self-contained HTML file")
    parser.add_argument("--quiet", action="store_true", help="print nothing but the table")
    parser.set_defaults(run=run)


def _add_limits(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("bounds, prices and caps")
    group.add_argument("--min-replicas", type=int, default=1, metavar="N")
    group.add_argument("--max-replicas", type=int, default=100_000, metavar="N")
    group.add_argument("--usd-per-replica-hour", type=float, metavar="USD")
    group.add_argument("--watts-per-replica", type=float, metavar="W")
    group.add_argument("--grams-co2e-per-kwh", type=float, metavar="G", help="carbon intensity of the grid")
    group.add_argument("--max-cost-per-hour", type=float, metavar="USD", help="hard cap of the predictive policy")
    group.add_argument("--max-power-usage", type=float, metavar="W", help="hard cap of the predictive policy")
    group.add_argument("--budget-limit", type=float, metavar="USD", help="budget of the predictive policy")
    group.add_argument("--budget-period", choices=[period.value for period in BudgetPeriod], default="Total")


def run(args: argparse.Namespace) -> int:
    """Simulate; returns 0, or 2 when something given cannot be used."""
    try:
        trace = read_trace(args.trace, args.column, _positive(args.step_seconds, "--step-seconds"))
        rules, caps = _rules(args), _caps(args)
        outcomes = _simulated(args, trace, rules, caps)
        _write(args, trace, rules, outcomes)
    except (ConfigError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(comparison(outcomes))
    return 0


def _simulated(args: argparse.Namespace, trace: Trace, rules: WorldRules, caps: Caps) -> dict[str, Outcome]:
    names = list(dict.fromkeys(name.strip() for name in args.policy.split(",") if name.strip()))
    if not names:
        raise ConfigError(f"--policy names none; there are {', '.join(POLICIES)}")
    scored = len(trace.demand) - rules.history_steps
    if not args.quiet:
        for repair in trace.repairs:
            print(f"{trace.name}: {repair}", file=sys.stderr)
    began = time.perf_counter()

    def told(name: str) -> None:
        nonlocal began
        took = time.perf_counter() - began
        if not args.quiet:
            print(f"{name}: {scored} steps in {took:.1f} s", file=sys.stderr)
        began = time.perf_counter()

    def watched(steps: Iterable[int]) -> Iterable[int]:
        shown = sys.stderr.isatty() and not args.quiet
        return tqdm(steps, desc="predictive", unit=" steps", leave=False, file=sys.stderr, disable=not shown)

    return simulate(trace, rules, names, caps, told, remember=args.report is not None, watch=watched)


def _write(args: argparse.Namespace, trace: Trace, rules: WorldRules, outcomes: dict[str, Outcome]) -> None:
    if args.report is not None:
        write_report(args.report, outcomes, trace, rules, ["kcloud-autoscale", *sys.argv[1:]])
    if args.decisions is None:
        return
    for index, (name, outcome) in enumerate(outcomes.items()):
        beside = args.decisions.with_name(f"{args.decisions.stem}.{name}{args.decisions.suffix}")
        write_decisions(beside if index else args.decisions, outcome.run, trace, rules)


def _rules(args: argparse.Namespace) -> WorldRules:
    return WorldRules(
        capacity_per_replica=args.capacity_per_replica,
        startup_seconds=args.startup_seconds,
        min_replicas=args.min_replicas,
        max_replicas=args.max_replicas,
        usd_per_replica_hour=_positive(args.usd_per_replica_hour, "--usd-per-replica-hour"),
        watts_per_replica=_positive(args.watts_per_replica, "--watts-per-replica"),
        grams_per_kwh=_positive(args.grams_co2e_per_kwh, "--grams-co2e-per-kwh"),
        history_steps=args.history_steps,
    )


def _caps(args: argparse.Namespace) -> Caps:
    """Hard caps; a cap without the price or the watts it is counted in could not hold."""
    if args.usd_per_replica_hour is None and (args.max_cost_per_hour or args.budget_limit):
        raise ConfigError("--max-cost-per-hour and --budget-limit need --usd-per-replica-hour")
    if args.watts_per_replica is None and args.max_power_usage:
        raise ConfigError("--max-power-usage needs --watts-per-replica")
    return Caps(
        _positive(args.max_cost_per_hour, "--max-cost-per-hour"),
        _positive(args.max_power_usage, "--max-power-usage"),
        _positive(args.budget_limit, "--budget-limit"),
        BudgetPeriod(args.budget_period),
    )


def _positive(value: float | None, name: str) -> float | None:
    if value is not None and not 0.0 < value < float("inf"):
        raise ConfigError(f"{name} is {value:g}, must be greater than 0")
    return value
