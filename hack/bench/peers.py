"""Other people's forecasters, each family in its environment, on the cutoffs ours were judged at."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hack.bench.child import ONE_THREAD
from kcloud_autoscale.domain.series import DemandHistory
from kcloud_autoscale.forecast.backtest import JUDGED, Windows
from kcloud_autoscale.forecast.settings import LEVELS

_HERE = Path(__file__).parent
_LOCK = _HERE / "peers.lock"
REFIT_SECONDS = 3_600.0


class PeersError(Exception):
    """Their environment cannot be made here; the message says why."""


def environment() -> Path:
    """Their Python; made from the lock file, with its hashes checked, when it is not there yet.

    Raises:
        PeersError: No uv in the cache, or it failed.
    """
    cache = Path(os.environ.get("KCLOUD_CACHE", Path.home() / ".cache" / "kcloud-autoscale"))
    home = cache / f"peers-{zlib.crc32(_LOCK.read_bytes()):08x}"
    python = home / "bin" / "python"
    if (home / "complete").exists():
        return python
    uv = next(iter(sorted(cache.glob("uv-*/bin/uv"))), None)
    if uv is None:
        raise PeersError(f"no uv in {cache}; hack/bootstrap puts it there")
    commands: tuple[list[str | Path], ...] = (
        [uv, "venv", "--quiet", "--clear", "--python", sys.executable, home],
        [uv, "pip", "sync", "--quiet", "--python", python, "--require-hashes", _LOCK],
    )
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise PeersError(f"{command[1]} {command[2]}: {done.stderr.strip()[-400:]}")
    (home / "complete").touch()
    return python


@dataclass(frozen=True, slots=True)
class Judged:
    """What the models of a family said of one series.

    Attributes:
        windows: Per model.
        fit_seconds: Processor time of fitting and forecasting once, medians, by model.
        peak_mib: Most memory of their process.
    """

    windows: list[Windows]
    fit_seconds: dict[str, float]
    peak_mib: float


def judged(family: str, python: Path, history: DemandHistory, base: Windows) -> Judged:
    """What each model of a family (of `peer_fit`) says of the windows of `base`, which are of this history.

    Raises:
        PeersError: They failed, in their own words.
    """
    seen = np.rint((base.cutoff_seconds - history.start_seconds) / history.step_seconds).astype(np.int64)
    with tempfile.TemporaryDirectory() as folder:
        given, found = Path(folder) / "given.npz", Path(folder) / "found.npz"
        np.savez(
            given,
            values=_filled(history.values),
            seen=seen,
            horizon=round(base.window_seconds / history.step_seconds),
            day=round(86_400.0 / history.step_seconds),
            step_seconds=history.step_seconds,
        )
        done = subprocess.run(
            [python, _HERE / "peer_fit.py", family, given, found],
            env=os.environ | ONE_THREAD,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise PeersError(done.stderr.strip()[-400:])
        with np.load(found) as answers:
            said = {name: answers[name] for name in answers.files if name != "peak_mib"}
            return Judged(
                windows=[_windows(name, each, history, base) for name, each in said.items()],
                fit_seconds={name: float(np.median(each[:, 3])) for name, each in said.items()},
                peak_mib=float(answers["peak_mib"]),
            )


def _filled(values: np.ndarray) -> np.ndarray:
    """Gaps filled with what came before: most of them take none."""
    known = np.maximum.accumulate(np.where(np.isfinite(values), np.arange(len(values)), 0))
    return np.asarray(np.nan_to_num(values[known]))


def _windows(name: str, answers: np.ndarray, history: DemandHistory, base: Windows) -> Windows:
    quantiles = np.full((len(answers), len(LEVELS)), np.nan)
    quantiles[:, 0] = np.maximum(answers[:, 0], 0.0)
    quantiles[:, JUDGED] = np.maximum(answers[:, 1], 0.0)
    # Fitted once an hour, as ours and statsmodels' are: a step bears its part of one fit.
    share = history.step_seconds / REFIT_SECONDS
    return Windows(
        unique_id=base.unique_id,
        model=name,
        cutoff_seconds=base.cutoff_seconds,
        window_seconds=base.window_seconds,
        spacing_seconds=base.spacing_seconds,
        actual=base.actual,
        present=base.present,
        quantiles=quantiles,
        microseconds=1e6 * float(np.median(answers[:, 2])) * share,
    )
