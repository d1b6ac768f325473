"""The cluster a verb reads from: flags like kubectl's, and one client."""

from __future__ import annotations

import argparse
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.config import ConfigException, load_incluster_config, load_kube_config

from kcloud_autoscale.domain.errors import ConfigError


def add_flags(parser: argparse.ArgumentParser) -> None:
    """``--kubeconfig`` and ``--context``, as kubectl has them."""
    parser.add_argument("--kubeconfig", metavar="FILE", help="default: KUBECONFIG, else ~/.kube/config, else the pod's")
    parser.add_argument("--context", metavar="NAME", help="context of the kubeconfig; default: its current one")


@asynccontextmanager
async def client(args: argparse.Namespace) -> AsyncIterator[ApiClient]:
    """A client with the credentials of the flags; closed at the end.

    Raises:
        ConfigError: There is no usable kubeconfig.
    """
    configuration = Configuration()
    named = args.kubeconfig or args.context or os.environ.get("KUBECONFIG")
    try:
        if os.environ.get("KUBERNETES_SERVICE_HOST") and not named:
            load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        else:
            await load_kube_config(  # type: ignore[no-untyped-call]
                config_file=args.kubeconfig,
                context=args.context,
                client_configuration=configuration,
                persist_config=False,
            )
    except (ConfigException, OSError, TypeError, KeyError) as error:
        raise ConfigError(f"no way to the cluster: {error}; see --kubeconfig and --context") from error
    async with ApiClient(configuration) as opened:
        opened.user_agent = "kcloud-autoscale"
        yield opened
