"""Credentials for the API server: a pod's own, or a kubeconfig; what is wrong with it, naming the file."""

from __future__ import annotations

import os
from pathlib import Path

import yaml
from kubernetes.aio.client import Configuration
from kubernetes.aio.config import ConfigException, load_incluster_config, load_kube_config

from kcloud_autoscale.domain.errors import ConfigError

DEFAULT = "~/.kube/config"


def read_service_account(configuration: Configuration) -> None:
    """Set address and credentials to those mounted into this pod.

    Raises:
        ConfigError: None are mounted, or they cannot be read.
    """
    try:
        load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    except (ConfigException, OSError) as error:
        raise ConfigError(f"no way to the cluster: the service account cannot be used: {error}") from error


async def read_kubeconfig(configuration: Configuration, files: str | None = None, context: str | None = None) -> None:
    """Set address and credentials.

    Args:
        configuration: Changed in place.
        files: One, or several as in ``KUBECONFIG``; when None what that names, else ``~/.kube/config``.
        context: Its current one when None.

    Raises:
        ConfigError: It is not there, is no kubeconfig, or lacks what the context needs.
    """
    named = files or os.environ.get("KUBECONFIG") or DEFAULT
    # The client takes its default from the environment once, when it is imported; an answer must not depend on that.
    _check(named)
    try:
        await load_kube_config(  # type: ignore[no-untyped-call]
            config_file=named, context=context, client_configuration=configuration, persist_config=False
        )
    except ConfigException as error:
        raise ConfigError(f"no way to the cluster: {error}") from error
    except (OSError, TypeError, KeyError, ValueError, AttributeError) as error:
        # Fields of another type than they should have: the client's words name the type alone.
        raise ConfigError(
            f"no way to the cluster: {named} is no kubeconfig: {type(error).__name__}: {error}"
        ) from error


def _check(named: str) -> None:
    """Raise ConfigError where no file is there, or one is no kubeconfig; of several, some may be missing."""
    paths = [Path(os.path.expanduser(each)) for each in named.split(os.pathsep) if each]
    present = [path for path in paths if path.exists()]
    if not present:
        unset = ", and KUBECONFIG is not set" if named == DEFAULT else ""
        raise ConfigError(f"no way to the cluster: there is no file {' nor '.join(map(str, paths))}{unset}")
    for path in present:
        _check_file(path)


def _check_file(path: Path) -> None:
    """Raise ConfigError for a file that the client would stumble over without naming it."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"no way to the cluster: {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"no way to the cluster: {path} is no kubeconfig: it is not UTF-8") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark is not None else ""
        raise ConfigError(f"no way to the cluster: {path} is not YAML{where}: {_problem(error)}") from error
    if content is None:
        raise ConfigError(f"no way to the cluster: {path} is empty")
    if not isinstance(content, dict):
        raise ConfigError(f"no way to the cluster: {path} is no kubeconfig: there are no clusters and contexts in it")


def _problem(error: yaml.YAMLError) -> str:
    return str(getattr(error, "problem", None) or error).splitlines()[0]
