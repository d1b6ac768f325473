"""A line per step, with what it took."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Progress:
    """Prints to the terminal as the demo goes."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    @contextmanager
    def step(self, name: str) -> Iterator[Callable[[str], None]]:
        """A line when it begins and its time when it is done; what the block notes is added to it."""
        notes: list[str] = []
        print(f"[{self._elapsed()}] {name} …", end="", flush=True)
        began = time.monotonic()
        yield notes.append
        print(f" {time.monotonic() - began:.1f} s" + "".join(f", {note}" for note in notes), flush=True)

    def say(self, text: str) -> None:
        """A line of the story."""
        print(f"[{self._elapsed()}] {text}", flush=True)

    def _elapsed(self) -> str:
        return f"{time.monotonic() - self._began:5.0f} s"
