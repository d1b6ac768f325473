"""`kcloud-autoscale explain NAMESPACE/NAME`: the last decision in words."""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from pydantic import ValidationError

from kcloud_autoscale.api.workload_status import WorkloadOptimizerStatus
from kcloud_autoscale.cli.cluster import add_flags, client
from kcloud_autoscale.cli.manifests import read
from kcloud_autoscale.domain.errors import ConfigError
from kcloud_autoscale.observe.reader import Json, Reader, ReadError
from kcloud_autoscale.report.explain import Subject, explain

KIND = "WorkloadOptimizer"
_PATH = "/apis/kcloud.io/v1alpha1/namespaces/{}/workloadoptimizers/{}"


def add_parser(subparsers: Any) -> None:
    """Declare the verb."""
    parser = subparsers.add_parser(
        "explain",
        description="Tell from the status of a WorkloadOptimizer what runs, what was wanted and why, what limits it, "
        "what is not known and since when, and what to do about it. Reads one object and changes nothing.",
        epilog="Offline: kubectl get wo NAME -o yaml | kcloud-autoscale explain -f -",
    )
    parser.add_argument("name", nargs="?", metavar="NAMESPACE/NAME", help="the WorkloadOptimizer")
    parser.add_argument("-f", "--file", metavar="FILE", help="read the object from YAML or JSON (- is standard input)")
    add_flags(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Explain; 0 when there is a status to explain, 1 when there is none yet, 2 when it cannot be read."""
    if not args.name and not args.file:
        raise ConfigError("name a WorkloadOptimizer as NAMESPACE/NAME, or give its manifest with -f")
    found = _from_file(args.file, args.name) if args.file else asyncio.run(_from_cluster(args, *_split(args.name)))
    return _explained(found)


def _time(told: Any) -> datetime | None:
    """A time of the metadata: text from the API server, and from YAML a time already."""
    if isinstance(told, datetime):
        return told if told.tzinfo else told.replace(tzinfo=UTC)
    try:
        return datetime.fromisoformat(told) if isinstance(told, str) else None
    except ValueError:
        return None


def _explained(found: Mapping[str, Any]) -> int:
    meta = found.get("metadata")
    meta = meta if isinstance(meta, Mapping) else {}
    name = f"{meta.get('namespace', 'default')}/{meta.get('name', '(no name)')}"
    generation = meta.get("generation")
    subject = Subject(name, generation if isinstance(generation, int) else None, _time(meta.get("deletionTimestamp")))
    try:
        status = WorkloadOptimizerStatus.model_validate(found.get("status") or {})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"status.{where} of {name} cannot be read: {first['msg']}") from error
    print(explain(subject, status, time.time()), end="")
    return 0 if status.last_decision is not None or status.conditions else 1


def _split(name: str) -> tuple[str, str]:
    namespace, slash, rest = name.partition("/")
    if not slash or not namespace or not rest or "/" in rest:
        raise ConfigError(f"{name!r} is not NAMESPACE/NAME")
    return namespace, rest


async def _from_cluster(args: argparse.Namespace, namespace: str, name: str) -> Json:
    async with client(args) as opened:
        try:
            return await Reader(opened).get(_PATH.format(quote(namespace, safe=""), quote(name, safe="")))
        except ReadError as error:
            if error.status == 404:
                raise ConfigError(f"there is no {KIND} {namespace}/{name} (or its CRD is not installed)") from error
            raise


def _from_file(path: str, name: str | None) -> Mapping[str, Any]:
    """The only WorkloadOptimizer of a file, or the one that is named."""
    found = [each.content for each in read([path]) if each.content.get("kind") == KIND]
    if name:
        namespace, only = _split(name)
        found = [each for each in found if _is_named(each, namespace, only)]
    if len(found) == 1:
        return found[0]
    what = f"{KIND} {name}" if name else KIND
    if not found:
        raise ConfigError(f"{path}: no {what} in it")
    raise ConfigError(f"{path}: {len(found)} of {what} in it; name one as NAMESPACE/NAME")


def _is_named(found: Mapping[str, Any], namespace: str, name: str) -> bool:
    meta = found.get("metadata")
    return isinstance(meta, Mapping) and (meta.get("namespace", "default"), meta.get("name")) == (namespace, name)
