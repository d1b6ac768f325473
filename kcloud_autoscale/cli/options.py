"""What several verbs ask for alike."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from kcloud_autoscale.domain.errors import ConfigError
from kcloud_autoscale.observe.tenant_queries import ENFORCE_NAMESPACE, TenantQueries

DEFAULT_DAYS = 7.0
_Given = TypeVar("_Given", float, float | None)


def add_prometheus(source: Any, group: Any, series: str) -> None:
    """Declare where in a Prometheus the demand is.

    Args:
        source: Where ``--prometheus`` goes, one of several sources.
        group: Where the rest goes.
        series: How many series the query may return, in words.
    """
    source.add_argument("--prometheus", metavar="URL", help="take the past of a Prometheus; needs --query")
    group.add_argument("--query", metavar="PROMQL", help=f"load per second, {series}")
    group.add_argument("--days", type=float, help=f"how far back to ask Prometheus (default: {DEFAULT_DAYS:g})")
    group.add_argument("--prometheus-token-file", type=Path, metavar="FILE", help="a bearer token")


def refuse_prometheus(args: argparse.Namespace) -> None:
    """Where the demand is in a file nothing is asked of a Prometheus.

    Raises:
        ConfigError: An option of `add_prometheus` is given all the same.
    """
    for option in ("--query", "--days", "--prometheus-token-file"):
        given = getattr(args, option.removeprefix("--").replace("-", "_"))
        if given is not None:
            raise ConfigError(f"{option} {given} is a question to Prometheus: it needs --prometheus")


def add_tenant_queries(group: Any) -> None:
    """What queries may read, as the operator is told it."""
    group.add_argument(
        "--tenant-queries",
        choices=[each.value for each in TenantQueries],
        default=ENFORCE_NAMESPACE.mode.value,
        help="what queries of WorkloadOptimizers may read: TENANT_QUERIES of the operator (default: %(default)s)",
    )
    group.add_argument(
        "--tenant-namespace-label",
        default=ENFORCE_NAMESPACE.namespace_label,
        metavar="LABEL",
        help="label that names the namespace of a series: TENANT_NAMESPACE_LABEL (default: %(default)s)",
    )


def check_outputs(args: argparse.Namespace, options: Sequence[str]) -> None:
    """What is written at the end of a long run has a place to go.

    Raises:
        ConfigError: The file that one of the options names cannot be written, or two name the same; says which option,
            and why.
    """
    paths: list[Path | None] = [getattr(args, option.removeprefix("--")) for option in options]
    given = [path.resolve() for path in paths if path is not None]
    if len(set(given)) < len(given):
        raise ConfigError(f"{' and '.join(options)} name the same file, {given[0]}")
    for option, path in zip(options, paths, strict=True):
        if path is not None and not path.parent.is_dir():
            raise ConfigError(f"{option}: there is no folder {path.parent}")
        if path is not None and path.is_dir():
            raise ConfigError(f"{option}: {path} is a folder, a file is needed")
        if path is not None and not os.access(path if path.exists() else path.parent, os.W_OK):
            raise ConfigError(f"{option}: {path} must not be written")


def make_folders(args: argparse.Namespace, options: Sequence[str]) -> None:
    """The folders that files are written to at the end of a long run are there.

    Raises:
        ConfigError: The folder that one of the options names cannot be made or written to; says which option, and why.
    """
    for option in options:
        path: Path | None = getattr(args, option.removeprefix("--"))
        if path is None:
            continue
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"{option}: {error.filename} cannot be made a folder: {error.strerror}") from error
        if not os.access(path, os.W_OK):
            raise ConfigError(f"{option}: {path} must not be written to")


@contextmanager
def writing() -> Iterator[None]:
    """Files are written within.

    Raises:
        ConfigError: One cannot be; names it, and why.
    """
    try:
        yield
    except OSError as error:
        raise ConfigError(f"cannot write {error.filename}: {error.strerror}") from error


def positive(value: _Given, name: str) -> _Given:
    """The value, if it is one.

    Raises:
        ConfigError: It is not a finite number above 0.
    """
    if value is not None and not 0.0 < value < float("inf"):
        raise ConfigError(f"{name} is {value:g}, must be greater than 0")
    return value
