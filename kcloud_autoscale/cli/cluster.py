"""The cluster a verb reads from: flags like kubectl's, and one client."""

from __future__ import annotations

import argparse
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from kubernetes.aio.client import ApiClient, Configuration

from kcloud_autoscale.observe.credentials import read_kubeconfig, read_service_account


def add_flags(parser: argparse.ArgumentParser) -> None:
    """``--kubeconfig`` and ``--context``, as kubectl has them."""
    parser.add_argument("--kubeconfig", metavar="FILE", help="default: KUBECONFIG, else ~/.kube/config, else the pod's")
    parser.add_argument("--context", metavar="NAME", help="context of the kubeconfig; default: its current one")


@asynccontextmanager
async def client(args: argparse.Namespace) -> AsyncIterator[ApiClient]:
    """A client with the credentials of the flags; closed at the end.

    Raises:
        ConfigError: There is no usable kubeconfig; says what is wrong with it.
    """
    configuration = Configuration()
    named = args.kubeconfig or args.context or os.environ.get("KUBECONFIG")
    if os.environ.get("KUBERNETES_SERVICE_HOST") and not named:
        read_service_account(configuration)
    else:
        await read_kubeconfig(configuration, args.kubeconfig, args.context)
    async with ApiClient(configuration) as opened:
        opened.user_agent = "kcloud-autoscale"
        yield opened
