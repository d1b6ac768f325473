"""`kcloud-autoscale validate FILE…`: what the API server would say, without a cluster."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from typing import Any

from kcloud_autoscale.api.crosscheck import Ours, check_together
from kcloud_autoscale.api.problem import Problem
from kcloud_autoscale.api.resolve import parse
from kcloud_autoscale.api.validate import check, is_ours
from kcloud_autoscale.cli.manifests import Manifest, read
from kcloud_autoscale.cli.options import add_tenant_queries
from kcloud_autoscale.domain.errors import ConfigError
from kcloud_autoscale.observe.queries import user_query
from kcloud_autoscale.observe.tenant_queries import TenantQueries, TenantQueryRules, admitted


def add_parser(subparsers: Any) -> None:
    """Declare the verb."""
    parser = subparsers.add_parser(
        "validate",
        description="Check WorkloadOptimizers, CostPolicies and PowerPolicies without a cluster: schema, rules, and "
        "what only several objects together can get wrong. Objects of other kinds are passed over, except that "
        "Namespaces, HorizontalPodAutoscalers and ScaledObjects are taken into account.",
        epilog="Exit code: 0 all is well, 1 something is wrong with an object, 2 nothing could be checked.",
    )
    parser.add_argument("files", nargs="+", metavar="FILE", help="a YAML or JSON file, a folder, or - for stdin")
    add_tenant_queries(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print every problem with its file and line; returns 0, 1 or 2 as the help says."""
    manifests = list(read(args.files))
    ours = [manifest for manifest in manifests if is_ours(manifest.content)]
    if not ours:
        raise ConfigError(f"no kcloud.io objects among {len(manifests)} in {', '.join(args.files)}")
    faulty = 0
    rules = TenantQueryRules(TenantQueries(args.tenant_queries), args.tenant_namespace_label)
    for manifest, problem in _all_problems(ours, [m for m in manifests if not is_ours(m.content)], rules):
        where = f"{manifest.source}:{manifest.line_of(problem.location)}"
        print(f"{where}: {manifest.subject}: {problem}")
        faulty += 1
    print(f"{_count(len(ours), 'object')} checked, {_count(faulty, 'problem') if faulty else 'all fine'}")
    return 1 if faulty else 0


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" + ("" if number == 1 else "s")


def _all_problems(
    ours: list[Manifest], others: list[Manifest], rules: TenantQueryRules
) -> Iterator[tuple[Manifest, Problem]]:
    fine: dict[int, Ours] = {}
    for position, manifest in enumerate(ours):
        problems = check(manifest.content)
        yield from ((manifest, problem) for problem in problems)
        if not problems and manifest.content["metadata"].get("name"):  # what is named by the server meets no other
            fine[position] = parse(manifest.content)
            yield from ((manifest, problem) for problem in refused_queries(manifest.content, rules))
    for fault in check_together(fine, [other.content for other in others]):
        yield ours[fault.position], fault.problem


def refused_queries(content: Mapping[str, Any], rules: TenantQueryRules) -> Iterator[Problem]:
    """Queries of a sound WorkloadOptimizer that the operator would not ask.

    The server has no word on them: PromQL is beyond its schema.
    """
    scaling = content["spec"].get("autoScaling") or {}
    named: list[tuple[tuple[str | int, ...], str | None]] = [
        (("demand", "query"), (scaling.get("demand") or {}).get("query"))
    ]
    named += [(("metrics", at, "query"), each.get("query")) for at, each in enumerate(scaling.get("metrics") or ())]
    metadata = content["metadata"]
    namespace = metadata.get("namespace") or "default"
    for location, query in named:
        if query is not None:
            refused = admitted(user_query(query, namespace, metadata["name"]), namespace, rules).refused
            if refused:
                yield Problem(("spec", "autoScaling", *location), refused, query)
