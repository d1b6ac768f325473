"""Where many independent tasks run: here, in local processes, or on a Dask cluster."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any
from urllib.parse import urlsplit

from kcloud_autoscale.domain.errors import ConfigError


def add_executor(parser: Any) -> None:
    """Declare the options that `chosen_executor` reads."""
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="local processes (default: 1)")
    parser.add_argument("--executor", metavar="URL", help="dask://HOST:PORT instead of local processes")


@contextmanager
def chosen_executor(args: argparse.Namespace) -> Iterator[Executor | None]:
    """The executor that the options name; None is this process.

    Raises:
        ConfigError: Both are named, or one cannot be used.
    """
    if args.jobs < 1:
        raise ConfigError(f"--jobs is {args.jobs}, must be at least 1")
    if args.executor:
        if args.jobs > 1:
            raise ConfigError("--jobs and --executor exclude each other: the cluster has its own workers")
        with _dask(args.executor) as executor:
            yield executor
    elif args.jobs > 1:
        # A fork of a process whose BLAS has threads may hang; a spawned one starts clean.
        with ProcessPoolExecutor(args.jobs, mp_context=get_context("spawn")) as executor:
            yield executor
    else:
        yield None


@contextmanager
def _dask(url: str) -> Iterator[Executor]:
    """An executor of the Dask cluster at ``dask://HOST:PORT``."""
    address = _address(url)
    try:
        from distributed import Client
    except ImportError as error:
        raise ConfigError("--executor dask:// needs the extra: pip install 'kcloud-autoscale[dask]'") from error
    try:
        client: Any = Client(address, timeout="10s")  # type: ignore[no-untyped-call]
    except OSError as error:
        raise ConfigError(f"--executor: no Dask scheduler answers at {url}: {error}") from error
    with client, client.get_executor() as executor:
        yield executor


def _address(url: str) -> str:
    """As Dask writes it: ``tcp://HOST:PORT``."""
    try:
        parts = urlsplit(url)
        if parts.scheme == "dask" and parts.hostname and parts.port:
            return f"tcp://{parts.netloc}"
    except ValueError:  # a port that is no number
        pass
    raise ConfigError(f"--executor: {url!r} is not dask://HOST:PORT")
