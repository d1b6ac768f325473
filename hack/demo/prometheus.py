"""Reads back from Prometheus what happened; the demo believes nothing else."""

from __future__ import annotations

import json
import urllib.parse
import urllib.request

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def query_range(url: str, query: str, start_seconds: float, end_seconds: float, step_seconds: float) -> Floats:
    """One series on a regular grid, NaN where there is none. Shape ``(steps,)``."""
    grid = np.arange(start_seconds, end_seconds + 1e-9, step_seconds)
    parameters = {"query": query, "start": grid[0], "end": grid[-1], "step": step_seconds}
    values = np.full(grid.shape, np.nan)
    series = _get(url, "query_range", parameters)
    if len(series) > 1:
        raise ValueError(f"{query} returned {len(series)} series instead of one")
    for time, value in series[0]["values"] if series else ():
        values[round((float(time) - grid[0]) / step_seconds)] = float(value)
    return values


def query(url: str, expression: str, at_seconds: float) -> float:
    """One number at an instant; NaN where there is none."""
    series = _get(url, "query", {"query": expression, "time": at_seconds})
    return float(series[0]["value"][1]) if series else float("nan")


def _get(url: str, path: str, parameters: dict[str, object]) -> list[dict]:
    address = f"{url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
    with urllib.request.urlopen(address, timeout=10) as answer:
        return json.load(answer)["data"]["result"]
