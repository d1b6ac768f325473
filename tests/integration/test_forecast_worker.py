"""The forecast worker as a real process: killed, stopped, out of memory; and what the fleet notices of it."""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import psutil
import pytest

from kcloud_autoscale.domain.series import DemandHistory, Forecast
from kcloud_autoscale.domain.workload import WorkloadKey
from kcloud_autoscale.forecast.artifacts import default_knowledge
from kcloud_autoscale.forecast.live import LiveForecaster
from kcloud_autoscale.operator.metrics import Metrics
from kcloud_autoscale.operator.teaching import WorkerTeacher
from kcloud_autoscale.operator.worker import Limits
from tests.builders.demand_series import Request, daily_wave, history

STEP = 600.0
STEPS = 600
PATIENT = 60.0  # a busy machine is no fault
A, B, C = (WorkloadKey("ai", name) for name in ("a", "b", "c"))
ROOT = Path(__file__).resolve().parents[2]


class Fleet:
    """A live forecaster whose teacher is a worker, and its counters."""

    def __init__(self, **limits: float) -> None:
        self.metrics = Metrics()
        given = {"soft_seconds": PATIENT, "hard_seconds": 2 * PATIENT, **limits}
        self.teacher = WorkerTeacher(self.metrics, Limits(**given))  # type: ignore[arg-type]
        self.live = LiveForecaster(STEP, knowledge=default_knowledge()[0], teacher=self.teacher)

    def ready(self) -> psutil.Process:
        """The worker, once it takes lessons."""
        assert self.teacher.ready(PATIENT)
        return psutil.Process(self.teacher.pid)

    def cycle(self, *keys: WorkloadKey) -> Mapping[WorkloadKey, Forecast]:
        """As a tick does it."""
        return self.live.forecast([Request(key) for key in keys], 0.0)

    def deaths(self, reason: str) -> float:
        return self.metrics.registry.get_sample_value("kcloud_forecast_worker_deaths_total", {"reason": reason}) or 0.0

    def value(self, name: str) -> float | None:
        return self.metrics.registry.get_sample_value(name)


@pytest.fixture
def made() -> Iterator[list[Fleet]]:
    """Fleets whose workers end with the test."""
    fleets: list[Fleet] = []
    yield fleets
    for fleet in fleets:
        fleet.teacher.close()


@pytest.fixture
def fleet(made: list[Fleet]) -> Fleet:
    """One with patient limits, its worker ready."""
    made.append(Fleet())
    made[0].ready()
    return made[0]


def past(seed: int, steps: int = STEPS) -> DemandHistory:
    """Days of demand that all end at the same step."""
    return history(daily_wave(steps / 144, STEP, seed), STEP, STEPS - steps)


def test_a_worker_teaches_what_this_process_would_have_learned(fleet: Fleet) -> None:
    histories = {A: past(1), B: past(2, steps=500), C: past(3, steps=20)}
    here = LiveForecaster(STEP, knowledge=default_knowledge()[0])
    answers = []
    for live in (fleet.live, here):
        live.learn(histories)
        live.forecast([Request(key) for key in histories], 0.0)
        live.learn({key: history(daily_wave(1, STEP)[:5], STEP, STEPS) for key in histories})
        answers.append(live.forecast([Request(key) for key in histories], 0.0))
    assert answers[0] == answers[1]
    assert set(answers[0]) == {A, B, C}
    assert fleet.value("kcloud_forecast_untaught_workloads") == 0
    assert fleet.value("kcloud_forecast_lesson_seconds_count") == 2  # the long ones, the short one


def test_a_worker_killed_while_it_teaches_costs_one_cycle_of_those_not_taught_yet(fleet: Fleet) -> None:
    fleet.live.learn({A: past(1)})
    assert set(fleet.cycle(A)) == {A}
    fleet.live.learn({A: past(1), B: past(2)})
    worker = fleet.ready()
    worker.suspend()  # in the middle of its lesson, for as long as it takes to be killed there
    threading.Timer(0.3, worker.kill).start()
    assert set(fleet.cycle(A, B)) == {A}
    assert fleet.deaths("Killed") == 1
    assert fleet.value("kcloud_forecast_untaught_workloads") == 1
    fleet.ready()
    assert set(fleet.cycle(A, B)) == {A, B}
    assert fleet.teacher.set_aside() == {}


def test_one_that_died_between_two_cycles_is_replaced_and_no_history_is_to_blame(fleet: Fleet) -> None:
    fleet.live.learn({A: past(1)})
    for deaths in (1, 2):
        worker = fleet.ready()
        worker.kill()
        worker.wait(PATIENT)
        assert fleet.cycle(A) == {}
        assert fleet.deaths("Killed") == deaths
    assert fleet.teacher.set_aside() == {}
    fleet.ready()
    assert set(fleet.cycle(A)) == {A}


def test_an_operator_with_very_many_connections_has_a_worker_too(made: list[Fleet]) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 2_048)), hard))
    connections = [os.open(os.devnull, os.O_RDONLY) for _ in range(1_100)]
    try:
        made.append(Fleet())
        assert made[0].ready().is_running()
    finally:
        for each in connections:
            os.close(each)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_where_no_process_is_to_be_had_there_are_no_new_forecasts_and_no_harm(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet.live.learn({A: past(1)})
    assert set(fleet.cycle(A)) == {A}
    fleet.teacher.close()
    fleet.live.learn({B: past(2)})
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", "/nowhere/python")
        assert set(fleet.cycle(A, B)) == {A}
    assert fleet.deaths("NotStarted") == 1
    fleet.ready()
    assert set(fleet.cycle(A, B)) == {A, B}


def test_a_worker_that_hangs_is_killed_at_the_hard_limit_and_its_victim_set_aside_after_the_second_time(
    made: list[Fleet],
) -> None:
    fleet = Fleet(hard_seconds=3.0)  # enough for an honest lesson on a busy machine
    made.append(fleet)
    fleet.live.learn({A: past(1)})
    for hangs in (1, 2):
        worker = fleet.ready()
        worker.suspend()
        assert fleet.cycle(A) == {}
        assert not worker.is_running()
        assert fleet.deaths("TimedOut") == hangs
    ((victim, message),) = fleet.teacher.set_aside().items()
    assert victim == "ai/a"
    assert re.fullmatch(r"took longer than [23]\.\d s", message)  # less what passed before the lesson was begun
    assert fleet.value("kcloud_forecast_set_aside_workloads") == 1
    fleet.ready()
    fleet.live.learn({B: past(2)})
    assert set(fleet.cycle(A, B)) == {B}


def test_a_history_too_large_for_the_worker_is_left_out_and_its_neighbours_are_not(made: list[Fleet]) -> None:
    """A million steps are 8 MB, and their averages and features alone some 60; 48 MB are allowed for all."""
    fleet = Fleet(memory_bytes=192 * 2**20)
    made.append(fleet)
    huge = history(np.ones(1_000_000), STEP, STEPS - 1_000_000)
    fleet.live.learn({A: past(1), B: huge})
    cycles = []
    for _ in range(4):
        fleet.ready()
        cycles.append(set(fleet.cycle(A, B)))
    # Together twice; then one after the other, the small one first.
    assert cycles == [set(), set(), {A}, {A}]
    assert fleet.deaths("OutOfMemory") == 3
    assert "MemoryError" in fleet.teacher.set_aside()["ai/b"]


def test_after_the_soft_limit_the_rest_waits_for_the_next_cycle(made: list[Fleet]) -> None:
    fleet = Fleet(soft_seconds=0.0)
    made.append(fleet)
    keys = [WorkloadKey("ai", f"w{index:02d}") for index in range(40)]
    fleet.live.learn({key: past(index) for index, key in enumerate(keys)})
    counts = [0]
    while counts[-1] < len(keys):
        fleet.ready()
        counts.append(len(fleet.cycle(*keys)))
        assert counts[-1] > counts[-2]
    assert counts[1] == 8  # one lesson a cycle, and the first lesson is of 8


def test_it_has_no_file_no_socket_no_secret_and_little_memory(
    made: list[Fleet], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROMETHEUS_PASSWORD", "hunter2")
    fleet = Fleet()
    made.append(fleet)
    worker = fleet.ready()
    assert sorted(os.listdir(f"/proc/{worker.pid}/fd")) == ["0", "1", "2"]
    assert worker.rlimit(psutil.RLIMIT_NOFILE) == (3, 3)
    assert worker.rlimit(psutil.RLIMIT_DATA) == (512 * 2**20, 512 * 2**20)
    assert "hunter2" not in str(worker.environ())
    assert worker.environ()["OMP_NUM_THREADS"] == "1"
    assert worker.num_threads() == 1


def test_it_ends_with_the_operator_even_if_that_is_killed() -> None:
    program = (
        "from kcloud_autoscale.operator.worker import Limits, Worker; import time;"
        "worker = Worker(Limits()); worker.ready(60.0); print(worker.pid, flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, cwd=ROOT) as parent:
        assert parent.stdout is not None
        worker = psutil.Process(int(parent.stdout.readline()))
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        worker.wait(PATIENT)
