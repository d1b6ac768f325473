"""Processes that end when they should, and never outlive their owner."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from hack.cluster.errors import ClusterError
from hack.cluster.processes import Processes

REPOSITORY = Path(__file__).parents[2]
OWNER_WITH_A_FORKED_CHILD = """
import json, os, sys, time
from pathlib import Path
from hack.cluster.processes import Processes
processes = Processes(Path(sys.argv[1]), remove_directory=True)
pid = processes.start("part", ["sleep", "60"])
child = os.fork()  # holds a copy of the pipe to the supervisor, as multiprocessing does
if child:
    print(json.dumps([pid, child]), flush=True)
time.sleep(60)
"""


def test_a_process_that_ends_early_is_an_error_with_its_last_words(tmp_path: Path) -> None:
    processes = Processes(tmp_path, remove_directory=False)
    processes.start("brief", [sys.executable, "-c", "print('port taken'); raise SystemExit(3)"])
    with pytest.raises(ClusterError, match=r"(?s)brief ended with code 3.*port taken.*brief\.log"):
        processes.wait_until("brief", lambda: False, timeout_seconds=10)
    processes.close()


def test_a_process_that_is_never_ready_is_an_error(tmp_path: Path) -> None:
    processes = Processes(tmp_path, remove_directory=False)
    processes.start("slow", ["sleep", "60"])
    with pytest.raises(ClusterError, match=r"slow was not ready after 0\.2 s"):
        processes.wait_until("slow", lambda: False, timeout_seconds=0.2)
    processes.close()


def test_a_process_that_ignores_sigterm_is_killed_after_its_grace(tmp_path: Path) -> None:
    processes = Processes(tmp_path / "own", remove_directory=True)
    script = "trap '' TERM; touch started; while :; do sleep 0.05; done"
    pid = processes.start("stubborn", ["sh", "-c", script])
    processes.wait_until("stubborn", (tmp_path / "own" / "started").exists, timeout_seconds=5)
    processes.stop("stubborn", grace_seconds=0.2)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    with pytest.raises(ClusterError, match="does not run"):
        processes.stop("stubborn", grace_seconds=0.0)
    processes.close()
    assert not (tmp_path / "own").exists()


def test_a_command_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    processes = Processes(tmp_path, remove_directory=False)
    with pytest.raises(ClusterError, match=r"start ghost: .*No such file"):
        processes.start("ghost", ["/nonexistent/ghost"])
    processes.close()
    processes.close()


def test_a_forked_child_that_holds_the_pipe_does_not_keep_the_parts_alive(tmp_path: Path) -> None:
    command = [sys.executable, "-c", OWNER_WITH_A_FORKED_CHILD, str(tmp_path / "own")]
    owner = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    part, child = json.loads(owner.stdout.readline())
    owner.kill()
    owner.wait()

    deadline = time.monotonic() + 10
    while psutil.pid_exists(part) or (tmp_path / "own").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert psutil.pid_exists(child)
    os.kill(child, 9)
