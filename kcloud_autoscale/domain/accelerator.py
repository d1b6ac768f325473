"""The accelerator table: power and price by model, shipped as data with its date."""

from __future__ import annotations

import functools
import re
import tomllib
from dataclasses import dataclass
from datetime import date
from importlib import resources


@dataclass(frozen=True, slots=True)
class Accelerator:
    """One device model.

    Attributes:
        name: Short name, as in ``h100``.
        pattern: Whole-token regular expression that finds it in product labels and metric labels.
        peak_watts: Card maximum (TDP); None where no public figure was found.
        idle_watts: Draw without load; 15 % of TDP unless measured.
        usd_per_hour: On demand, host CPU and RAM inside; None where there is no public price.
        price_basis: Where the price comes from, for the reader of a report.
        is_gpu: False for an NPU.
    """

    name: str
    pattern: re.Pattern[str]
    peak_watts: float | None
    idle_watts: float | None
    usd_per_hour: float | None
    price_basis: str
    is_gpu: bool = True

    def watts(self, utilization_fraction: float) -> float | None:
        """Estimated draw: ``idle + utilization * (peak - idle)``; an H100 at 0.5 draws 402.5 W."""
        if self.peak_watts is None or self.idle_watts is None:
            return None
        return self.idle_watts + min(max(utilization_fraction, 0.0), 1.0) * (self.peak_watts - self.idle_watts)


@dataclass(frozen=True, slots=True, eq=False)
class AcceleratorTable:
    """All known models in match order, and the date their prices were taken. Equal only to itself."""

    as_of: date
    spot_multiplier: float
    models: tuple[Accelerator, ...]

    def find(self, product: str) -> Accelerator | None:
        """The model named by a product label (``NVIDIA-H100-80GB-HBM3``) or metric label, or None."""
        return _find(self, product)

    def named(self, name: str) -> Accelerator | None:
        """The model of this short name, or None."""
        return next((model for model in self.models if model.name == name), None)


@functools.lru_cache(maxsize=1024)
def _find(table: AcceleratorTable, product: str) -> Accelerator | None:
    # A fleet has few products and asks for them every minute: thirty regular expressions each time would be felt.
    return next((model for model in table.models if model.pattern.search(product)), None)


def _accelerator(row: dict[str, object]) -> Accelerator:
    peak = row.get("peak_watts")
    idle = row.get("idle_watts")
    price = row.get("usd_per_hour")
    peak_watts = float(str(peak)) if peak is not None else None
    return Accelerator(
        name=str(row["name"]),
        # Whole tokens only, so that `l4` misses `l40s` and `a10` misses `a100`.
        pattern=re.compile(rf"(?i)(?<![a-z0-9])(?:{row['match']})(?![a-z0-9])"),
        peak_watts=peak_watts,
        idle_watts=float(str(idle)) if idle is not None else (0.15 * peak_watts if peak_watts is not None else None),
        usd_per_hour=float(str(price)) if price is not None else None,
        price_basis=str(row.get("price_basis", "")),
        is_gpu=row.get("kind", "gpu") == "gpu",
    )


@functools.cache
def accelerator_table() -> AcceleratorTable:
    """The table that ships with the package."""
    text = resources.files("kcloud_autoscale.domain").joinpath("accelerators.toml").read_text(encoding="utf-8")
    data = tomllib.loads(text)
    return AcceleratorTable(
        as_of=data["as_of"],
        spot_multiplier=float(data["spot_multiplier"]),
        models=tuple(_accelerator(row) for row in data["accelerator"]),
    )
