"""The ``kcloud-autoscale`` command: finds the verb, parses its arguments, runs it."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Protocol, cast

import kcloud_autoscale
from kcloud_autoscale.domain.errors import KcloudError

# In the order a newcomer meets them. Each is a module of this package with `add_parser` and `run`.
VERBS = ("run", "simulate", "recommend", "explain", "train", "backtest", "validate", "crds")


class Verb(Protocol):
    """What a verb's module offers."""

    def add_parser(self, subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
        """Add the verb's parser to the command."""

    def run(self, args: argparse.Namespace) -> int:
        """Do it; the exit code."""


def _verb(name: str) -> Verb:
    return cast(Verb, importlib.import_module(f"kcloud_autoscale.cli.{name}"))


def _named_verb(arguments: Sequence[str]) -> str | None:
    return next((argument for argument in arguments if argument in VERBS), None)


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
    parser = argparse.ArgumentParser(prog="kcloud-autoscale", description=kcloud_autoscale.__doc__)
    parser.add_argument("--version", action="version", version=f"%(prog)s {version('kcloud-autoscale')}")
    subparsers = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    named = _named_verb(arguments)
    for name in (named,) if named else VERBS:
        _verb(name).add_parser(subparsers)
    args = parser.parse_args(arguments)
    try:
        return _verb(args.verb).run(args)
    except KcloudError as error:
        print(f"kcloud-autoscale {args.verb}: {error}", file=sys.stderr)
        return 2
