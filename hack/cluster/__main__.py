"""`python3 -m hack.cluster build | up | env | status | down`: the local cluster from a shell."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from hack.cluster.background import Background, shell_exports
from hack.cluster.build import ensure
from hack.cluster.cache import report
from hack.cluster.cluster import Cluster
from hack.cluster.errors import ClusterError
from hack.cluster.parts import PARTS

EXAMPLE = 'python3 -m hack.cluster up && eval "$(python3 -m hack.cluster env)" && kubectl get nodes'


def main(arguments: list[str]) -> int:
    options = _parser().parse_args(arguments)
    try:
        options.verb(options)
    except ClusterError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python3 -m hack.cluster", description=__doc__, epilog=f"Example: {EXAMPLE}")
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    build = verbs.add_parser("build", help="build the binaries that are not cached yet")
    known = [part.name for part in PARTS]
    build.add_argument("parts", nargs="*", help=f"of: {', '.join(known)}; without any: all of them")
    build.set_defaults(verb=_build)
    for name, verb, text in (
        ("up", _up, "start a cluster that stays until `down`"),
        ("serve", _serve, "start a cluster in the foreground, until SIGTERM"),
    ):
        start = verbs.add_parser(name, help=text)
        _add_name(start)
        start.add_argument("--gpu-nodes", type=int, default=2, help="nodes with 8 nvidia.com/gpu each (default 2)")
        start.add_argument(
            "--hpa-sync-seconds", type=float, default=15.0, help="the HPA controller's period (default 15)"
        )
        start.add_argument(
            "--prometheus", type=Path, metavar="FILE", help="run a Prometheus too, with this configuration"
        )
        start.set_defaults(verb=verb)
    for name, verb, text in (
        ("env", _env, "print what a shell needs to use the cluster, for eval"),
        ("status", _status, "say whether it runs, and show its nodes"),
        ("down", _down, "stop it; nothing stays behind"),
    ):
        use = verbs.add_parser(name, help=text)
        _add_name(use)
        use.set_defaults(verb=verb)
    return parser


def _add_name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--name", default="default", help="several clusters run side by side under different names")
    parser.add_argument(
        "--kubeconfig",
        type=Path,
        default=os.environ.get("KCLOUD_TEST_KUBECONFIG"),
        help="use this existing cluster instead (default: $KCLOUD_TEST_KUBECONFIG)",
    )


def _build(options: argparse.Namespace) -> None:
    unknown = set(options.parts) - {part.name for part in PARTS}
    if unknown:
        raise ClusterError(f"unknown part {', '.join(sorted(unknown))}; there are: {', '.join(p.name for p in PARTS)}")
    ensure(options.parts or [part.name for part in PARTS])


def _up(options: argparse.Namespace) -> None:
    if options.kubeconfig:
        _status(options)
        return
    start = time.monotonic()
    background = Background(options.name)
    background.up(options.gpu_nodes, options.hpa_sync_seconds, options.prometheus)
    report(f"cluster {options.name!r} is up after {time.monotonic() - start:.1f} s; its files: {background.directory}")
    print(shell_exports(background.variables()))


def _serve(options: argparse.Namespace) -> None:
    Background(options.name).serve(options.gpu_nodes, options.hpa_sync_seconds, options.prometheus)


def _env(options: argparse.Namespace) -> None:
    print(shell_exports(_variables(options)))


def _status(options: argparse.Namespace) -> None:
    cluster = Cluster.attach(Path(_variables(options)["KUBECONFIG"]))
    with cluster:
        print(f"{cluster.url} with {cluster.kubeconfig}")
        print(cluster.kubectl("get", "nodes", "-o", "wide"), end="")


def _variables(options: argparse.Namespace) -> dict[str, str]:
    if options.kubeconfig:
        return {"KUBECONFIG": str(Path(options.kubeconfig).resolve())}
    return Background(options.name).variables()


def _down(options: argparse.Namespace) -> None:
    if options.kubeconfig:
        raise ClusterError(f"the cluster of {options.kubeconfig} was not started here, so it is not stopped here")
    stopped = Background(options.name).down()
    report(f"cluster {options.name!r} {'is down' if stopped else 'did not run'}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
