"""The fitting worker as a real process: what it fits, and what becomes of a fit that it dies of."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import psutil
import pytest

from kcloud_autoscale.domain.policy import MODELS
from kcloud_autoscale.domain.series import Forecast
from kcloud_autoscale.domain.workload import WorkloadKey
from kcloud_autoscale.forecast.artifacts import default_knowledge
from kcloud_autoscale.forecast.fitting import fitted_here
from kcloud_autoscale.forecast.live import LiveForecaster
from kcloud_autoscale.operator import fitting
from kcloud_autoscale.operator.fitting import WorkerFitter
from kcloud_autoscale.operator.metrics import Metrics
from kcloud_autoscale.operator.teaching import WorkerTeacher
from kcloud_autoscale.operator.worker import Limits
from tests.builders.demand_series import Request, daily_wave, history

STEP = 600.0
DAYS = 600 / 144
PATIENT = 120.0  # a busy machine is no fault
A, B = WorkloadKey("ai", "a"), WorkloadKey("ai", "b")


class Fleet:
    """A live forecaster whose models are fitted by a process, and its counters."""

    def __init__(self, hard_seconds: float = PATIENT, step_seconds: float = STEP, days: float = DAYS) -> None:
        self.metrics = Metrics()
        self.fitter = WorkerFitter(self.metrics, Limits(hard_seconds=hard_seconds))
        self.live = LiveForecaster(step_seconds, fitter=self.fitter)
        self.past = history(daily_wave(days, step_seconds), step_seconds)

    def cycle(self, models: Mapping[WorkloadKey, str | None]) -> Mapping[WorkloadKey, Forecast]:
        """As an operator does it; whose whole history is wanted, gets it."""
        whole = [key for key in models if key in self.live.to_reread() or key not in self.live.seen_until()]
        self.live.learn(dict.fromkeys(whole, self.past))
        return self.live.forecast([Request(key, model=model) for key, model in models.items()], 0.0)

    def until(
        self, models: Mapping[WorkloadKey, str | None], found: Callable[[Mapping[WorkloadKey, Forecast]], bool]
    ) -> Mapping[WorkloadKey, Forecast]:
        """Cycles until something is found."""
        end = time.monotonic() + PATIENT
        while time.monotonic() < end:
            said = self.cycle(models)
            if found(said):
                return said
            time.sleep(0.05)
        raise AssertionError(f"not within {PATIENT} s: {said}")

    def process(self) -> psutil.Process:
        """The fitting worker, once it is there."""
        end = time.monotonic() + PATIENT
        while self.fitter.pid is None and time.monotonic() < end:
            time.sleep(0.01)
        return psutil.Process(self.fitter.pid)

    def value(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, labels) or 0.0


@pytest.fixture
def made() -> Iterator[list[Fleet]]:
    """Fleets whose processes end with the test."""
    fleets: list[Fleet] = []
    yield fleets
    for fleet in fleets:
        fleet.fitter.close()


@pytest.fixture
def fleet(made: list[Fleet]) -> Fleet:
    made.append(Fleet())
    return made[0]


def fitted(key: WorkloadKey = A) -> Callable[[Mapping[WorkloadKey, Forecast]], bool]:
    def found(said: Mapping[WorkloadKey, Forecast]) -> bool:
        asked = said[key].asked
        return asked is not None and asked.fitted

    return found


def refused(said: Mapping[WorkloadKey, Forecast]) -> bool:
    asked = said[A].asked
    return asked is not None and "process" in asked.message


@pytest.mark.parametrize("model", MODELS)
def test_a_process_fits_what_this_one_would_have_fitted(fleet: Fleet, model: str) -> None:
    first = fleet.cycle({A: model})[A]  # at once, without waiting for a fit
    assert first.asked is not None
    assert not first.asked.fitted
    said = fleet.until({A: model}, fitted())[A]
    here = LiveForecaster(STEP, fitter=fitted_here)
    here.learn({A: fleet.past})
    assert said == here.forecast([Request(A, model=model)], 0.0)[A]
    assert fleet.value("kcloud_forecast_fit_seconds_count", model=model) == 4
    assert fleet.value("kcloud_forecast_fits_waiting") == 0


def test_the_worker_that_teaches_takes_the_fits_with_the_history(fleet: Fleet) -> None:
    teacher = WorkerTeacher(fleet.metrics, Limits(soft_seconds=PATIENT, hard_seconds=2 * PATIENT))
    knowledge = default_knowledge()[0]
    fleet.live = LiveForecaster(STEP, knowledge=knowledge, teacher=teacher, fitter=fleet.fitter)
    try:
        assert teacher.ready(PATIENT)
        said = fleet.until({A: "ETS"}, lambda said: A in said and fitted()(said))[A]
    finally:
        teacher.close()
    here = LiveForecaster(STEP, knowledge=knowledge)
    here.learn({A: fleet.past})
    assert said == here.forecast([Request(A, model="ETS")], 0.0)[A]


def test_while_nobody_asks_there_is_no_process_and_no_thread(fleet: Fleet) -> None:
    before = set(threading.enumerate())
    fleet.cycle({A: None, B: None})
    assert fleet.fitter.pid is None
    assert set(threading.enumerate()) <= before


def test_it_has_no_file_no_socket_no_secret_and_bounded_memory(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMETHEUS_PASSWORD", "hunter2")
    fleet.until({A: "SARIMAX"}, fitted())
    worker = fleet.process()
    assert sorted(os.listdir(f"/proc/{worker.pid}/fd")) == ["0", "1", "2"]
    assert worker.rlimit(psutil.RLIMIT_NOFILE) == (3, 3)
    assert worker.rlimit(psutil.RLIMIT_DATA) == (512 * 2**20, 512 * 2**20)
    assert "hunter2" not in str(worker.environ())
    assert worker.nice() >= 10
    assert worker.memory_full_info().uss < 300 * 2**20


def test_the_operator_itself_never_loads_the_library() -> None:
    program = (
        "import sys, numpy as np\n"
        "from kcloud_autoscale.operator.fitting import WorkerFitter\n"
        "from kcloud_autoscale.operator.metrics import Metrics\n"
        "from kcloud_autoscale.forecast.live import LiveForecaster\n"
        "from tests.integration.test_fitting_worker import Fleet, A, fitted\n"
        "before = 'statsmodels' in sys.modules\n"
        "fleet = Fleet(); fleet.until({A: 'AutoReg'}, fitted()); fleet.fitter.close()\n"
        "sys.exit(before or 'statsmodels' in sys.modules or 'sklearn' in sys.modules)"
    )
    assert os.spawnv(os.P_WAIT, sys.executable, [sys.executable, "-c", program]) == 0


def test_closed_it_leaves_no_process_behind_and_starts_another_one_when_it_is_needed(fleet: Fleet) -> None:
    fleet.cycle({A: "AutoReg"})
    worker = fleet.process()
    fleet.fitter.close()  # another process leads
    worker.wait(PATIENT)
    assert fleet.fitter.pid is None
    fleet.until({A: "AutoReg"}, fitted())
    assert fleet.process().pid != worker.pid
    for reason in ("Killed", "TimedOut", "Failed"):
        assert fleet.value("kcloud_forecast_fitter_deaths_total", reason=reason) == 0


def test_what_is_handed_over_just_when_nobody_is_left_to_take_it_is_fitted_all_the_same(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(fitting, "IDLE_SECONDS", 0.0)
        patch.setattr(fitting.Shift, "hand_over", lambda *_: None)
        fleet.cycle({A: "AutoReg"})
    fleet.until({A: "AutoReg"}, fitted())


def test_one_that_is_killed_costs_a_fit_its_turn_and_nobody_a_forecast(fleet: Fleet) -> None:
    fleet.cycle({A: "AutoReg", B: None})
    fleet.process().kill()
    said = fleet.until({A: "AutoReg", B: None}, fitted())
    assert said[B].asked is None
    assert fleet.value("kcloud_forecast_fitter_deaths_total", reason="Killed") == 1


def test_one_that_hangs_is_killed_when_its_time_is_up_and_the_fit_tried_once_more(made: list[Fleet]) -> None:
    fleet = Fleet(hard_seconds=5.0)
    made.append(fleet)
    fleet.until({B: "ETS"}, fitted(B))  # so that it is ready, and the next thing it does is to fit
    fleet.process().suspend()
    said = fleet.until({A: "AutoReg", B: "ETS"}, fitted())
    assert fleet.value("kcloud_forecast_fitter_deaths_total", reason="TimedOut") == 1
    assert said[A].asked is not None
    assert said[A].asked.message == ""


def test_a_model_that_never_ends_is_given_up_for_an_hour_and_the_others_go_on(made: list[Fleet]) -> None:
    """Twice for the first of four cutoffs; the other three are not even tried, and neither is what is due meanwhile."""
    fleet = Fleet(hard_seconds=0.02)  # SARIMAX takes ten times as long on any machine
    made.append(fleet)
    said = fleet.until({A: "SARIMAX", B: None}, refused)
    assert said[A].asked is not None
    assert said[A].asked.message == "the process that fits it took longer than 0.0 s"
    assert not said[A].asked.fitted
    assert said[A].trusted  # by the built-in experts
    fleet.fitter.close()
    fleet.fitter._limits = Limits(hard_seconds=PATIENT)
    said = fleet.until({A: "SARIMAX", B: "ETS"}, fitted(B))
    assert refused(said)
    assert fleet.value("kcloud_forecast_fits_waiting") == 0
    assert fleet.value("kcloud_forecast_fitter_deaths_total", reason="TimedOut") == 2
    # Another model of the same workload is another matter.
    fleet.until({A: "ETS", B: "ETS"}, fitted())


def test_a_history_too_large_for_it_is_refused_and_the_process_replaced(made: list[Fleet]) -> None:
    """A week of minutes: the lags alone are a matrix of 1.5 MB, and there is a copy for each step of the algebra."""
    fleet = Fleet(step_seconds=60.0, days=8.0)
    made.append(fleet)
    fleet.fitter._limits = Limits(hard_seconds=PATIENT, memory_bytes=1 << 20)  # not even for what it has
    said = fleet.until({A: "AutoReg"}, refused)
    assert said[A].asked is not None
    assert "MemoryError" in said[A].asked.message
    assert fleet.value("kcloud_forecast_fitter_deaths_total", reason="OutOfMemory") >= 2


def test_where_no_process_is_to_be_had_the_model_is_silent_and_nothing_else_happens(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", "/nowhere/python")
        said = fleet.cycle({A: "AutoReg"})
        end = time.monotonic() + PATIENT
        while not fleet.value("kcloud_forecast_fitter_deaths_total", reason="NotStarted"):
            assert time.monotonic() < end
            time.sleep(0.05)
    assert np.isfinite(said[A].values).all()
    assert fleet.value("kcloud_forecast_fitter_deaths_total", reason="NotStarted") == 1
    fleet.until({A: "AutoReg"}, fitted())
