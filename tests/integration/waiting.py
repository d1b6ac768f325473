"""Waiting for a real system, with a limit and a reason."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import psutil

Value = TypeVar("Value")


def eventually(read: Callable[[], Value], holds: Callable[[Value], bool], timeout_seconds: float) -> Value:
    """Read until `holds(value)` and return that value; fails with the last value read."""
    deadline = time.monotonic() + timeout_seconds
    while not holds(value := read()):
        assert time.monotonic() < deadline, f"still {value!r} after {timeout_seconds:g} s"
        time.sleep(0.1)
    return value


def is_running(pid: int) -> bool:
    """Whether the process exists; one that ended and awaits its parent (a zombie) does not run."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
