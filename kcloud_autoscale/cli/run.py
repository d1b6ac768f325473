"""``kcloud-autoscale run``: the operator, until it is told to stop."""

from __future__ import annotations

import argparse
import os
import signal
from types import FrameType

# As a shell names the end by a signal: 128 + 15.
TERMINATED = 128 + signal.SIGTERM


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """``run`` takes no arguments: a Deployment configures it by environment variables."""
    subparsers.add_parser(
        "run",
        description="Run the operator. It is configured by environment variables, see docs/configuration.md; "
        "PROMETHEUS_URL is required. The cluster is that of the service account, else of KUBECONFIG.",
    )


def run(args: argparse.Namespace) -> int:
    """Run until a signal; a wrong configuration is a `ConfigError`, told by the caller."""
    # Process 1 of a container has no default action for SIGTERM: without a handler the kernel drops the signal, and a
    # pod that is deleted while the libraries load (2 s of a core, 10 s where it gets a fifth of one) waits for SIGKILL.
    signal.signal(signal.SIGTERM, _end_at_once)
    from kcloud_autoscale.operator.main import run as run_operator
    from kcloud_autoscale.operator.settings import load_settings

    run_operator(load_settings())
    return 0


def _end_at_once(number: int, frame: FrameType | None) -> None:
    """Nothing has been started, so nothing is left to write. An exception might be caught by what is being imported."""
    os._exit(TERMINATED)
