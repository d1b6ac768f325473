"""One process that has loaded the code and its tests, and tries mutants in forks of itself.

A mutant is put in by exchanging the code of the function itself, so that nothing is imported twice and whoever has the
function already has the mutant: a trial takes as long as the first test that fails.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import inspect
import io
import os
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FrameType, FunctionType
from typing import Any

import pytest
from hypothesis import settings

from hack.mutation.mutants import Mutant

# A mutant that loops for ever is noticed. The tests of a survivor take this long at most.
MOST_SECONDS = 90.0
MOST_TESTS_SECONDS = 8.0

Function = tuple[str, str]


class Calls:
    """Which test calls which function of the modules under trial, and how long each test takes."""

    def __init__(self, modules: dict[str, str]) -> None:
        self.by_function: dict[Function, set[str]] = defaultdict(set)
        self.seconds: dict[str, float] = {}
        self._modules = modules  # by file

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """Watch a test with its fixtures."""
        seen: set[CodeType] = set()

        def note(frame: FrameType, event: str, _: Any) -> None:
            if event == "call":
                seen.add(frame.f_code)

        began = time.perf_counter()
        sys.setprofile(note)
        try:
            yield
        finally:
            sys.setprofile(None)
        self.seconds[item.nodeid] = time.perf_counter() - began
        for code in seen:
            if (module := self._modules.get(code.co_filename)) is not None:
                self.by_function[module, code.co_qualname.split(".<locals>")[0]].add(item.nodeid)

    def tests_of(self, mutant: Mutant) -> list[str]:
        """Those that call it, the nearest first, then the quickest, as far as time allows."""
        room = mutant.module.split(".")[1]
        tests = self.by_function.get((mutant.module, mutant.function), set())
        ordered = sorted(tests, key=lambda test: (f"unit/{room}" not in test, self.seconds[test]))
        chosen, spent = [], 0.0
        for test in ordered:
            spent += self.seconds[test]
            if spent > MOST_TESTS_SECONDS and chosen:
                break
            chosen.append(test)
        return chosen


def load(folders: list[str], modules: dict[str, str]) -> Calls:
    """Run all tests once, in this process.

    Raises:
        SystemExit: One fails without any mutant.
    """
    settings.register_profile("mutation", derandomize=True, deadline=None, database=None, max_examples=50)
    settings.load_profile("mutation")
    calls = Calls(modules)
    if (code := _pytest([*folders, "-q"], calls)) != 0:
        raise SystemExit(f"the tests fail without a mutant: pytest ended with {code}")
    return calls


def survives(mutant: Mutant, tests: list[str]) -> bool:
    """Whether every test passes with the mutant in place; tried in a fork."""
    child = os.fork()
    if child == 0:
        signal.alarm(int(MOST_SECONDS))
        put_in(mutant)
        os._exit(1 if _pytest([*tests, "-x", "-q"]) else 0)
    _, status = os.waitpid(child, 0)
    return status == 0


def put_in(mutant: Mutant) -> None:
    """Exchange the code of the function, in this process, for good."""
    found: Any = importlib.import_module(mutant.module)
    for name in mutant.function.split("."):
        found = inspect.getattr_static(found, name)
    if isinstance(found, property):
        found = found.fget
    if isinstance(found, functools.cached_property):
        found = found.func
    if isinstance(found, classmethod | staticmethod):
        found = found.__func__
    if hasattr(found, "cache_clear"):
        found.cache_clear()
    found = inspect.unwrap(found)
    assert isinstance(found, FunctionType)
    found.__code__ = mutant.code


def _pytest(words: list[str], *plugins: object) -> int:
    own = ["-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:randomly", "--no-header", "--tb=no", "-o", "addopts="]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        return int(pytest.main([*own, *words], plugins=list(plugins)))


def modules_of(package: Path, names: list[str]) -> dict[str, str]:
    """Module by file, of the given rooms and files of the package."""
    files = [
        file
        for name in names
        for file in (
            [package / f"{name}.py"] if (package / f"{name}.py").is_file() else sorted((package / name).glob("*.py"))
        )
    ]
    return {str(file): ".".join(file.relative_to(package.parent).with_suffix("").parts) for file in files}
