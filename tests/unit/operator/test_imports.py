"""The controller stays small: the libraries that fit models are for tools and for the worker."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROBE = """
import sys
import numpy as np
from kcloud_autoscale.domain.observation import Observation, WorkloadObservation
from kcloud_autoscale.domain.policy import FleetPolicy, WorkloadPolicy
from kcloud_autoscale.domain.reading import Missing, MissingReason
from kcloud_autoscale.domain.series import DemandHistory
from kcloud_autoscale.domain.workload import WorkloadKey
from kcloud_autoscale.forecast.artifacts import default_knowledge
from kcloud_autoscale.forecast.live import LiveForecaster
from kcloud_autoscale.operator import main
from kcloud_autoscale.tick import FleetState, tick

key = WorkloadKey("ai", "chat")
seen = WorkloadObservation(
    key,
    Missing(MissingReason.NO_DATA, "no target"),
    demand_history=DemandHistory(0.0, 60.0, np.full(600, 5.0)),
)
forecaster = LiveForecaster(60.0, knowledge=default_knowledge()[0])
tick(Observation(36_000.0, {key: seen}), FleetPolicy({key: WorkloadPolicy(key)}), FleetState(forecaster), 36_000.0)
assert key in forecaster.fleet
heavy = {"sklearn", "statsmodels", "matplotlib", "skops"} & sys.modules.keys()
sys.exit(f"loaded: {heavy}" if heavy else 0)
"""


def test_the_operator_loads_no_library_that_fits_models() -> None:
    """All of it imported, a workload taught and ticked; each of these would cost it 30 to 100 MB."""
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run([sys.executable, "-c", PROBE], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
