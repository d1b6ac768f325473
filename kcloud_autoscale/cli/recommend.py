"""`kcloud-autoscale recommend`: what would predictive scaling have saved, for every workload of a cluster?"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tqdm import tqdm

from kcloud_autoscale.cli.cluster import add_flags, client
from kcloud_autoscale.cli.options import make_folders, positive, writing
from kcloud_autoscale.cli.recommend_reading import ANSWER_SECONDS, Reading, Wish, read
from kcloud_autoscale.domain.errors import ConfigError
from kcloud_autoscale.observe.prometheus import Prometheus, PrometheusSettings
from kcloud_autoscale.report.recommendation import CannotTell, Past, Recommendation, Terms, judge
from kcloud_autoscale.report.recommendation_text import as_json, manifest_yaml, text
from kcloud_autoscale.report.simulation import Framing, write_report

_DESCRIPTION = """Find the demand signal of every Deployment and StatefulSet, replay its last days through the
operator's own decisions, and compare misses, replica-hours, dollars and energy with what actually ran and with an HPA
at 70 %. Reads the API server and Prometheus; changes nothing."""


def add_parser(subparsers: Any) -> None:
    """Declare the verb."""
    parser = subparsers.add_parser(
        "recommend",
        description=_DESCRIPTION,
        epilog="Exit code: 0 something can be recommended, 1 nothing can be, 2 it cannot be read.",
    )
    add_flags(parser)
    parser.add_argument(
        "-n",
        "--namespace",
        action="append",
        default=[],
        metavar="NS",
        help="only there; may be repeated (default: all)",
    )
    _add_prometheus(parser)
    _add_terms(parser)
    parser.add_argument("-o", "--output", choices=("table", "json"), default="table")
    parser.add_argument("--manifests", type=Path, metavar="DIR", help="write a WorkloadOptimizer (mode Recommend) each")
    parser.add_argument("--html", type=Path, metavar="DIR", help="write a page of the replay each")
    parser.set_defaults(run=run)


def _add_prometheus(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("Prometheus")
    address = os.environ.get("PROMETHEUS_URL")
    group.add_argument("--prometheus", default=address, metavar="URL", help="default: PROMETHEUS_URL")
    group.add_argument("--token-file", type=Path, metavar="FILE", help="with a bearer token")
    group.add_argument("--tenant", default="", metavar="ID", help="X-Scope-OrgID of Mimir, Cortex or Thanos")
    group.add_argument("--ca-file", type=Path, metavar="FILE", help="CA certificates instead of the system's")


def _add_terms(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("how to judge")
    group.add_argument("--days", type=float, default=7.0, metavar="D", help="replayed at most (default: 7)")
    group.add_argument(
        "--history-days", type=float, default=14.0, metavar="D", help="read; what is not replayed is learned from"
    )
    group.add_argument(
        "--latency-ms", type=float, metavar="MS", help="p95 latency that is still good; teaches capacity"
    )
    group.add_argument(
        "--capacity-per-replica", type=float, metavar="K", help="load per second, instead of learning it"
    )
    group.add_argument("--startup-seconds", type=float, metavar="S", help="instead of what the pods show")
    group.add_argument("--min-replicas", type=int, default=1, metavar="N", help="floor of every policy (default: 1)")
    group.add_argument("--max-replicas", type=int, metavar="N", help="ceiling of every policy; default: what is needed")


def run(args: argparse.Namespace) -> int:
    """Recommend; the exit code is as the help says."""
    wish, terms = _wish(args), _terms(args)
    make_folders(args, ("--manifests", "--html"))
    found = asyncio.run(_read(args, wish))
    for problem in found.problems:
        print(f"not read: {problem}", file=sys.stderr)
    judged = [judge(past, terms, remember=args.html is not None) for past in _watched(found.pasts)]
    told = [each for each in judged if isinstance(each, Recommendation)]
    silent = [*(each for each in judged if isinstance(each, CannotTell)), *found.silent]
    print(as_json(told, silent) if args.output == "json" else text(told, silent))
    with writing():
        _write(args, told)
    return 0 if any(each.worthwhile for each in told) else 1


async def _read(args: argparse.Namespace, wish: Wish) -> Reading:
    settings = PrometheusSettings(
        args.prometheus, args.token_file, tenant=args.tenant, ca_file=args.ca_file, timeout_seconds=ANSWER_SECONDS
    )
    async with client(args) as opened:
        prometheus = Prometheus(settings)
        try:
            return await read(opened, prometheus, wish, time.time())
        finally:
            prometheus.close()


def _watched(pasts: Sequence[Past]) -> Iterable[Past]:
    shown: Iterable[Past] = tqdm(pasts, desc="replay", unit=" workloads", leave=False, file=sys.stderr, disable=None)
    return shown


def _write(args: argparse.Namespace, found: Sequence[Recommendation]) -> None:
    for each in found:
        name = f"{each.past.key.namespace}.{each.past.key.name}"
        if args.manifests is not None and each.worthwhile and not each.past.has_optimizer:
            (args.manifests / f"{name}.yaml").write_text(manifest_yaml(each), encoding="utf-8")
        if args.html is not None:
            command = ["kcloud-autoscale", *sys.argv[1:]]
            path = args.html / f"{name}.html"
            write_report(path, each.outcomes, each.trace, each.rules, command, _framing(each))


def _framing(each: Recommendation) -> Framing:
    """The page says what the terminal says: how capacity and start-up are known, and what to weigh."""
    serves, starts = each.rules.capacity_per_replica, each.rules.startup_seconds
    rests = f"a replica's {serves:.4g} per second are {each.capacity.source}, its {starts:.0f} s to start"
    return Framing((f"{rests} {each.past.startup_source}", *each.notes), each.against, each.unclaimed)


def _wish(args: argparse.Namespace) -> Wish:
    if not args.prometheus:
        raise ConfigError("say where Prometheus is: --prometheus URL or PROMETHEUS_URL")
    _check_address(args.prometheus)
    return Wish(
        tuple(dict.fromkeys(args.namespace)),
        positive(args.history_days, "--history-days"),
        positive(args.capacity_per_replica, "--capacity-per-replica"),
        positive(args.latency_ms, "--latency-ms"),
        positive(args.startup_seconds, "--startup-seconds"),
    )


def _check_address(url: str) -> None:
    """Raise ConfigError for what is no address, before the cluster is read for nothing."""
    try:
        parts = urlsplit(url)
        # A port that is no number shows when it is asked for.
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ConfigError(f"--prometheus is {url}, must be an http:// or https:// address")


def _terms(args: argparse.Namespace) -> Terms:
    least, most = args.min_replicas, args.max_replicas
    if least < 1:
        raise ConfigError(f"--min-replicas is {least}, must be at least 1")
    if most is not None and most < least:
        raise ConfigError(f"--max-replicas is {most}, must be at least --min-replicas, which is {least}")
    if args.days > args.history_days:
        raise ConfigError(f"--days {args.days:g} is more than --history-days {args.history_days:g}")
    return Terms(positive(args.days, "--days"), least, most, args.latency_ms)
