"""One set of credentials for both clients: the mounted service account, else the kubeconfig."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import Any

import kopf
from kubernetes.aio.client import ApiClient, Configuration

from kcloud_autoscale.observe.credentials import read_kubeconfig, read_service_account

# Mounted tokens are rotated in place; kopf reads them anew this often.
LOGIN_LIFETIME = timedelta(minutes=5)
CONNECTIONS = 32


async def load_configuration() -> Configuration:
    """Where the API server is and who we are.

    Raises:
        ConfigError: Neither a service account is mounted nor is there a usable kubeconfig.
    """
    configuration = Configuration()
    if os.environ.get("KUBERNETES_SERVICE_HOST"):
        read_service_account(configuration)
    else:
        await read_kubeconfig(configuration)
    configuration.connection_pool_maxsize = CONNECTIONS
    return configuration


def new_client(configuration: Configuration) -> ApiClient:
    """The client everything but kopf shares."""
    client = ApiClient(configuration)
    client.user_agent = "kcloud-autoscale"
    return client


async def login(configuration: Configuration) -> kopf.ConnectionInfo:
    """The same credentials for kopf."""
    token: str | None = await configuration.get_api_key_with_prefix("BearerToken", alias="authorization")
    optional: dict[str, Any] = {
        "ca_path": configuration.ssl_ca_cert,
        "certificate_path": configuration.cert_file,
        "private_key_path": configuration.key_file,
    }
    return kopf.ConnectionInfo(
        server=configuration.host,
        insecure=not configuration.verify_ssl,
        token=token.split(" ", 1)[-1].strip() if token else None,
        expiration=datetime.now(UTC) + LOGIN_LIFETIME,
        **{name: path for name, path in optional.items() if path},
    )
