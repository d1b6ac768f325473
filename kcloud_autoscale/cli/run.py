"""``kcloud-autoscale run``: the operator, until it is told to stop."""

from __future__ import annotations

import argparse

from kcloud_autoscale.operator.main import run as run_operator
from kcloud_autoscale.operator.settings import load_settings


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """``run`` takes no arguments: a Deployment configures it by environment variables."""
    subparsers.add_parser(
        "run",
        help="run the operator",
        description="Run the operator. It is configured by environment variables, see docs/configuration.md; "
        "PROMETHEUS_URL is required. The cluster is that of the service account, else of KUBECONFIG.",
    )


def run(args: argparse.Namespace) -> int:
    """Run until a signal; a wrong configuration is a `ConfigError`, told by the caller."""
    run_operator(load_settings())
    return 0
