"""The ``kcloud-autoscale`` command: finds the verb, parses its arguments, runs it."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Protocol, cast

import kcloud_autoscale
from kcloud_autoscale.domain.errors import KcloudError

# In the order a newcomer meets them, with what the list of verbs says of each. Each is a module of this package with
# `add_parser` and `run`, imported only when it is named: all of them together are 4 s of a core and 230 MB.
VERBS: Mapping[str, str] = {
    "run": "run the operator",
    "simulate": "replay demand and compare policies",
    "recommend": "what each workload of a cluster would have saved",
    "check": "what is believed of each workload, and on whose word",
    "explain": "the last decision of a WorkloadOptimizer in words",
    "train": "learn a model bundle from histories",
    "backtest": "score forecasts on a history",
    "validate": "check manifests offline: what the API server would refuse, and what only several objects get wrong",
    "crds": "print the CustomResourceDefinitions, or write them into a folder",
}


class Verb(Protocol):
    """What a verb's module offers."""

    def add_parser(self, subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
        """Add the verb's parser to the command."""

    def run(self, args: argparse.Namespace) -> int:
        """Do it; the exit code."""


def _verb(name: str) -> Verb:
    return cast(Verb, importlib.import_module(f"kcloud_autoscale.cli.{name}"))


def _parser(named: str | None) -> argparse.ArgumentParser:
    """The command's parser: the named verb's arguments are known, of the others their names."""
    parser = argparse.ArgumentParser(prog="kcloud-autoscale", description=kcloud_autoscale.__doc__)
    parser.add_argument("--version", action="version", version=f"%(prog)s {version('kcloud-autoscale')}")
    subparsers = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name, summary in VERBS.items():
        if name == named:
            _verb(name).add_parser(subparsers)
        else:
            subparsers.add_parser(name, help=summary)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Only the named verb's module is imported: `validate` in a commit hook must not pay for scikit-learn.

    Returns:
        The exit code: 0 done, 1 the answer is no (problems found), 2 it could not be done.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    try:
        return _run(arguments)
    except KeyboardInterrupt:
        return 130


def _run(arguments: Sequence[str]) -> int:
    # The command's own options take no values and end it: a verb is the first argument, or there is none to import.
    first = next((argument for argument in arguments if argument != "--"), None)
    named = first if first in VERBS else None
    args = _parser(named).parse_args(arguments)
    try:
        return _verb(args.verb).run(args)
    except KcloudError as error:
        print(f"kcloud-autoscale {args.verb}: {error}", file=sys.stderr)
        return 2
