"""``make bench``: what a cycle costs, in time and memory, beside its bars. Each size runs in a process of its own."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator

from hack.bench import bundle
from hack.bench.child import Measured, measure
from hack.bench.clock import Spent, quantile
from hack.bench.table import Table, publish

HEAD = ("what", "median", "p95", "CPU median", "bar", "met", "peak RSS")


def add_parser(subparsers: object) -> ArgumentParser:
    """Declare the bench and the sizes that make it quick."""
    parser: ArgumentParser = subparsers.add_parser("speed", help=__doc__)  # type: ignore[attr-defined]
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000], metavar="N", help="workloads")
    parser.add_argument("--cycles", type=int, default=20, help="cycles measured per size")
    parser.add_argument("--days", type=float, default=14.0, help="history behind every workload")
    parser.add_argument("--no-scores", action="store_true", help="leave the default bundle's scores alone")
    parser.set_defaults(run=run)
    return parser


def run(args: Namespace) -> int:
    """Print the table; 1 when a bar is missed."""
    rows = []
    for row in _rows(args):
        print("  ".join(row), file=sys.stderr, flush=True)
        rows.append(row)
    notes = [
        f"{args.days:g} days of 1-min history, one thread for linear algebra, Prometheus and API server faked over",
        "HTTP in another process. Wall time; CPU is that of the measured process, which neighbours do not move:",
        f"the load average of these {os.cpu_count()} cores was {os.getloadavg()[0]:.1f}.",
    ]
    scores = [] if args.no_scores else bundle.rows()
    tables = [Table("Speed and memory", HEAD, rows), Table(bundle.TITLE, bundle.HEAD, scores)]
    publish("bench", tables if scores else tables[:1], notes)
    return 1 if "no" in [*(row[5] for row in rows), *(row[-1] for row in scores)] else 0


def _rows(args: Namespace) -> Iterator[tuple[str, ...]]:
    one = measure("one_tick", "--days", args.days)
    yield _row("tick, one workload, warm", one["tick"], one, bar=0.005)
    for size in args.sizes:
        yield from _forecast_rows(size, args)
    yield from _growth(min(args.sizes), args)
    for size in args.sizes:
        yield from _cycle_rows(size, args)


def _forecast_rows(size: int, args: Namespace) -> Iterator[tuple[str, ...]]:
    found = measure("learning", "--workloads", size, "--days", args.days, "--cycles", args.cycles)
    bar = {1_000: 0.020, 10_000: 0.150}.get(size)
    yield _row(f"forecast, {size:,}: learn + predict", found["vectorised"], found, bar=bar)
    yield _row(f"forecast, {size:,}: as the tick calls it", found["whole"], found)
    yield _row(f"forecast, {size:,}: taught {args.days:g} days", [found["taught"]], found)
    if size == 1_000:
        again = measure("refit")
        yield _row("refit of the experts, 1,000 x 4,032 points", again["refit"], again, bar=1.0)
        short = measure("learning", "--workloads", size, "--days", 14, "--step-seconds", 300, "--cycles", 1)
        yield _row("the same, and judged on the last days", [short["taught"]], short)


def _growth(size: int, args: Namespace) -> Iterator[tuple[str, ...]]:
    """The same cycle after a day and after all days: what it costs must not depend on what lies behind."""
    for days in sorted({1.0, args.days / 2, args.days}):
        found = measure("learning", "--workloads", size, "--days", days, "--cycles", args.cycles)
        yield _row(f"learn + predict, {size:,}, {days:g} days behind", found["vectorised"], found)


def _cycle_rows(size: int, args: Namespace) -> Iterator[tuple[str, ...]]:
    cycles = args.cycles if size <= 1_000 else max(5, args.cycles // 4)
    found = measure("cycle", "--workloads", size, "--cycles", cycles, "--days", args.days)
    gather, ticks = found["gather"], found["tick"]
    both = [(a[0] + b[0], a[1] + b[1]) for a, b in zip(gather, ticks, strict=True)]
    yield _row(f"cycle, {size:,}: gather", gather, found)
    yield _row(f"cycle, {size:,}: tick", ticks, found)
    bar, most_mib = {1_000: (2.0, None), 10_000: (20.0, 2_048.0)}.get(size, (None, None))
    yield _row(f"cycle, {size:,}: whole (p95)", both, found, bar=bar, most_mib=most_mib)
    if found["decided"] != size or found["trusted"] < 0.9 * size:
        raise RuntimeError(f"{found['decided']} decided and {found['trusted']} trusted of {size}: no fair cycle")


def _row(
    what: str, spent: list[Spent], found: Measured, bar: float | None = None, most_mib: float | None = None
) -> tuple[str, ...]:
    """A line; bars of whole cycles are those of the 95th percentile, all others of the median."""
    middle, high = quantile(spent, 0.5), quantile(spent, 0.95)
    judged = high[0] if "(p95)" in what else middle[0]
    kept = bar is None or (judged < bar and (most_mib is None or found["peak_mib"] < most_mib))
    limits = [f"< {_shown(bar)}" if bar else "", f"< {most_mib:,.0f} MiB" if most_mib else ""]
    return (
        what,
        _shown(middle[0]),
        _shown(high[0]) if len(spent) > 1 else "",
        _shown(middle[1]),
        " ".join(filter(None, limits)),
        "" if bar is None else ("yes" if kept else "no"),
        f"{found['peak_mib']:,.0f} MiB",
    )


def _shown(seconds: float) -> str:
    return f"{1e3 * seconds:.3g} ms" if seconds < 1.0 else f"{seconds:.3g} s"
