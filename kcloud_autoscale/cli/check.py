"""`kcloud-autoscale check`: what is believed of each workload, and on whose word; from a cluster or from files."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kcloud_autoscale.api.resolve import parse
from kcloud_autoscale.api.resolve_fleet import FleetObjects, resolve_fleet
from kcloud_autoscale.api.v1alpha1 import CostPolicy, PowerPolicy, WorkloadOptimizer
from kcloud_autoscale.api.validate import check as problems_of
from kcloud_autoscale.api.validate import is_ours
from kcloud_autoscale.cli.check_cluster import read_documents, requirements
from kcloud_autoscale.cli.check_dump import RECORDING, Recording, RecordingSource, ReplaySource, dump
from kcloud_autoscale.cli.cluster import add_flags, client
from kcloud_autoscale.cli.manifests import read
from kcloud_autoscale.cli.no_forecaster import NoForecaster
from kcloud_autoscale.cli.options import add_tenant_queries, make_folders, positive
from kcloud_autoscale.domain.errors import ConfigError
from kcloud_autoscale.domain.policy import FleetPolicy
from kcloud_autoscale.domain.workload import WorkloadKey
from kcloud_autoscale.observe.gather import Gatherer, GatherSettings
from kcloud_autoscale.observe.kubernetes import Informers
from kcloud_autoscale.observe.prometheus import Prometheus, PrometheusSettings
from kcloud_autoscale.observe.query_session import Source
from kcloud_autoscale.observe.reader import Json
from kcloud_autoscale.observe.snapshot import completed, snapshot
from kcloud_autoscale.observe.tenant_queries import TenantQueries, TenantQueryRules
from kcloud_autoscale.report.check import as_text, workload_check
from kcloud_autoscale.tick import FleetState, TickResult, tick

TICK_SECONDS = 60.0
NO_PROMETHEUS = "no Prometheus was given (--prometheus URL)"
ANSWER_SECONDS = 20.0
_DESCRIPTION = """Tell of each WorkloadOptimizer what is believed and on whose word: its target and pods, devices and
cards, price and draw of a replica, load and metrics with source and age, other autoscalers, what is doubted, and the
decision of one tick with its steps (reactive: nothing is forecast). Of a cluster also whether Prometheus answers, the
CRDs are there, and the rights suffice. Reads, and changes nothing."""


def add_parser(subparsers: Any) -> None:
    """Declare the verb."""
    parser = subparsers.add_parser(
        "check",
        description=_DESCRIPTION,
        epilog="Exit code: 0 nothing is in doubt, 1 something is, 2 it could not be checked.",
    )
    parser.add_argument("names", nargs="*", metavar="NAMESPACE/NAME", help="only these WorkloadOptimizers")
    add_flags(parser)
    parser.add_argument(
        "-f",
        "--file",
        nargs="+",
        action="extend",
        default=[],
        metavar="FILE",
        help="objects from YAML or JSON files or folders instead of a cluster: nodes, pods, workloads, autoscalers, "
        "claims, and ours; a Scale says with the annotation `of: APIVERSION/KIND` whose it is",
    )
    group = parser.add_argument_group("Prometheus")
    group.add_argument("--prometheus", default=os.environ.get("PROMETHEUS_URL"), metavar="URL")
    group.add_argument("--token-file", type=Path, metavar="FILE", help="with a bearer token")
    group.add_argument("--tenant", default="", metavar="ID", help="X-Scope-OrgID of Mimir, Cortex or Thanos")
    group.add_argument("--ca-file", type=Path, metavar="FILE", help="CA certificates instead of the system's")
    add_tenant_queries(group)
    parser.add_argument("--at", type=float, metavar="UNIX", help="look at this instant (default: now)")
    parser.add_argument("--ticks", type=int, default=1, metavar="N", help="so many, a minute apart; the last is told")
    parser.add_argument("-o", "--output", choices=("table", "json"), default="table")
    parser.add_argument(
        "--dump",
        type=Path,
        metavar="FOLDER",
        help="write what was read, hosts and addresses replaced and secrets left out, for `check -f FOLDER`",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Check; the exit code is as the help says."""
    if args.ticks < 1:
        raise ConfigError(f"--ticks is {args.ticks}, must be at least 1")
    positive(args.at, "--at")
    if args.dump is not None:
        make_folders(args, ("--dump",))
    return asyncio.run(_from_files(args) if args.file else _from_cluster(args))


async def _from_files(args: argparse.Namespace) -> int:
    recording = Recording.read(args.file)
    documents = completed(each.content for each in read(_manifests(args.file)))
    at_seconds = args.at or (recording.at_seconds if recording is not None else time.time())
    if not args.prometheus:
        source = ReplaySource(recording or Recording(at_seconds), "" if recording else NO_PROMETHEUS)
        return await _checked(args, documents, snapshot(documents), source, at_seconds)
    prometheus = Prometheus(_prometheus_settings(args))
    try:
        return await _checked(args, documents, snapshot(documents), prometheus, at_seconds)
    finally:
        prometheus.close()


async def _from_cluster(args: argparse.Namespace) -> int:
    if not args.prometheus:
        raise ConfigError("say where Prometheus is: --prometheus URL or PROMETHEUS_URL (or check files with -f)")
    prometheus = Prometheus(_prometheus_settings(args))
    try:
        async with client(args) as opened:
            at_seconds = args.at or time.time()
            needs = await requirements(opened, prometheus, at_seconds)
            documents = completed(await read_documents(opened, sorted({_namespace(name) for name in args.names})))
        for need in needs:
            print(need, file=sys.stderr)
        code = await _checked(args, documents, snapshot(documents), prometheus, at_seconds)
        return code or int(any(not need.met for need in needs))
    finally:
        prometheus.close()


async def _checked(
    args: argparse.Namespace, documents: Sequence[Json], informers: Informers, source: Source, at_seconds: float
) -> int:
    policy, refused = _policy(documents, args.names)
    if not policy.workloads and not refused:
        raise ConfigError(
            "there is no WorkloadOptimizer to check" + (f" among {', '.join(args.names)}" * bool(args.names))
        )
    recorder = RecordingSource(source) if args.dump is not None else None
    settings = GatherSettings(
        history_days=1 / 24,
        budget_seconds=ANSWER_SECONDS,
        tenant_queries=TenantQueryRules(TenantQueries(args.tenant_queries), args.tenant_namespace_label),
    )
    gatherer = Gatherer(recorder or source, informers, settings)
    checks = await _ticks(policy, gatherer, at_seconds, args.ticks)
    for line in refused:
        print(line, file=sys.stderr)
    print(json.dumps(checks, indent=2, allow_nan=False) if args.output == "json" else as_text(checks))
    if recorder is not None:
        dump(args.dump, documents, recorder.recording(at_seconds))
    return int(bool(refused) or any(each["doubts"] or each["conflict"]["status"] for each in checks))


async def _ticks(policy: FleetPolicy, gatherer: Gatherer, at_seconds: float, ticks: int) -> list[Json]:
    """So many ticks, the last at the instant; what is believed then."""
    state = FleetState(NoForecaster())
    result: TickResult | None = None
    for back in range(ticks - 1, -1, -1):
        now_seconds = at_seconds - back * TICK_SECONDS
        observation = await gatherer.gather(policy, {}, now_seconds)
        result = tick(observation, policy, state, now_seconds)
        state = result.state
    assert result is not None
    return [
        workload_check(policy.workloads[decision.key], observation, decision) for decision in result.fleet.decisions
    ]


def _policy(documents: Sequence[Json], names: Sequence[str]) -> tuple[FleetPolicy, list[str]]:
    """The fleet of the documents, and what of ours cannot be understood, in words."""
    objects: dict[type, list[Any]] = {WorkloadOptimizer: [], CostPolicy: [], PowerPolicy: []}
    refused = []
    for each in documents:
        if not is_ours(each):
            continue
        problems = problems_of(each)
        if problems:
            meta = each["metadata"]
            refused += [f"{each['kind']} {meta.get('namespace', '')}/{meta['name']}: {problem}" for problem in problems]
            continue
        ours = parse(each)
        objects[type(ours)].append(ours)
    labels = {
        each["metadata"]["name"]: dict(each["metadata"].get("labels") or {})
        for each in documents
        if each["kind"] == "Namespace"
    }
    fleet = resolve_fleet(FleetObjects(objects[WorkloadOptimizer], objects[CostPolicy], objects[PowerPolicy], labels))
    return _named(fleet, names), refused


def _named(fleet: FleetPolicy, names: Sequence[str]) -> FleetPolicy:
    """Only those that were named; what they share with others stays."""
    if not names:
        return fleet
    wanted = {WorkloadKey(_namespace(name), name.partition("/")[2]) for name in names}
    absent = sorted(str(key) for key in wanted - fleet.workloads.keys())
    if absent:
        raise ConfigError(f"there is no WorkloadOptimizer {' and no '.join(absent)}")
    return fleet


def _namespace(name: str) -> str:
    namespace, slash, rest = name.partition("/")
    if not slash or not namespace or not rest or "/" in rest:
        raise ConfigError(f"{name!r} is not NAMESPACE/NAME")
    return namespace


def _manifests(files: Sequence[str]) -> list[str]:
    """Without the recording that a dump carries beside its manifests."""
    found: list[str] = []
    for name in files:
        path = Path(name)
        if (path / RECORDING).is_file():
            found += sorted(str(each) for each in path.glob("*.yaml"))
        else:
            found.append(name)
    return found


def _prometheus_settings(args: argparse.Namespace) -> PrometheusSettings:
    return PrometheusSettings(
        args.prometheus, args.token_file, tenant=args.tenant, ca_file=args.ca_file, timeout_seconds=ANSWER_SECONDS
    )
