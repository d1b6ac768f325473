"""``python -m hack.mutation [--rooms decide tick …] [--workers 2]``: survivors, those that change a count first."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from hack.mutation import counts, trial
from hack.mutation.mutants import Mutant, mutants_of

PACKAGE = Path(__file__).resolve().parents[2] / "kcloud_autoscale"
ROOMS = ["decide", "tick", "act", "account", "observe"]
# Killed stays killed while the module does not change; tests change often, and rarely for the worse.
CACHE = Path(__file__).resolve().parents[2] / "out" / "mutants-killed"


def main() -> int:
    """Try the mutants; 1 when one that changes a count survives."""
    parser = argparse.ArgumentParser(prog="python -m hack.mutation", description=__doc__)
    parser.add_argument("--rooms", nargs="+", default=ROOMS, help="packages or modules of kcloud_autoscale")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--every", type=int, default=1, metavar="N", help="only each Nth mutant")
    args = parser.parse_args()
    modules = trial.modules_of(PACKAGE, args.rooms)
    CACHE.parent.mkdir(exist_ok=True)
    killed = set(CACHE.read_text(encoding="utf-8").split()) if CACHE.is_file() else set()
    mutants = [mutant for file, name in modules.items() for mutant in mutants_of(Path(file), name)][:: args.every]
    waiting = [mutant for mutant in mutants if mutant.id not in killed]
    print(f"{len(mutants)} mutants, {len(mutants) - len(waiting)} known to be killed", file=sys.stderr, flush=True)
    calls = trial.load(_folders(args.rooms), modules)
    expected = counts.told()
    survivors = list(_tried(waiting, calls, args.workers))
    counting = [mutant for mutant in survivors if counts.changes_a_count(mutant, expected)]
    for title, listed in (("change a count", counting), ("change none", [m for m in survivors if m not in counting])):
        print(f"\n{len(listed)} survivors {title}")
        for mutant in listed:
            tests = "" if calls.tests_of(mutant) else "  (no test calls it)"
            print(f"  {mutant.module}:{mutant.line} {mutant.function}: {mutant.change}{tests}")
    return 1 if counting else 0


def _folders(rooms: list[str]) -> list[str]:
    """Tests of the rooms themselves and the stories: what the whole suite would notice by chance does not count."""
    units = [f"tests/unit/{room}" for room in rooms if Path(f"tests/unit/{room}").is_dir()]
    return [*units, "tests/unit/test_tick.py", "tests/unit/decide", "tests/scenarios"]


def _tried(mutants: list[Mutant], calls: trial.Calls, workers: int) -> Iterator[Mutant]:
    """The survivors. Each worker is a fork that has everything loaded and takes every so manieth mutant."""
    pipes = []
    for worker in range(workers):
        read, write = os.pipe()
        if os.fork() == 0:
            with os.fdopen(write, "w") as answers, CACHE.open("a", encoding="utf-8") as killed:
                for mutant in mutants[worker::workers]:
                    tests = calls.tests_of(mutant)
                    alive = not tests or trial.survives(mutant, tests)
                    print(mutant.id, file=answers if alive else killed, flush=True)
            os._exit(0)
        os.close(write)
        pipes.append(read)
    by_id = {mutant.id: mutant for mutant in mutants}
    for pipe in pipes:
        with os.fdopen(pipe) as answers:
            yield from (by_id[line.strip()] for line in answers)


if __name__ == "__main__":
    sys.exit(main())
