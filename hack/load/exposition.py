"""Prometheus text, and the ways in which an exporter can lie."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from hack.load.service import COUNTERS, HISTOGRAMS, Series


class FaultKind(StrEnum):
    """What goes wrong with the series a fault matches."""

    NAN = "nan"  # present, value NaN
    INFINITE = "inf"
    NEGATIVE = "negative"
    FREEZE = "freeze"  # the value of the moment the fault was seen first, for ever
    DROP = "drop"  # absent
    DUPLICATE = "duplicate"  # once more under another job, as when two monitors scrape one pod
    GARBAGE = "garbage"  # the whole answer is an HTML page; `match` has no say
    ERROR = "error"  # the whole answer is a 500


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of lie about all series whose `name{labels}` the pattern is found in."""

    kind: FaultKind
    match: str = ""

    def touches(self, key: Series) -> bool:
        return re.search(self.match, str(key)) is not None


@dataclass(slots=True)
class Faults:
    """The faults in force, in the order they were given."""

    active: list[Fault] = field(default_factory=list)
    _frozen: dict[Series, float] = field(default_factory=dict)

    def clear(self) -> None:
        self.active.clear()
        self._frozen.clear()

    def has(self, kind: FaultKind) -> bool:
        return any(fault.kind is kind for fault in self.active)

    def distort(self, samples: Mapping[Series, float]) -> dict[Series, float]:
        """What is told instead of the truth."""
        told: dict[Series, float] = {}
        for key, value in samples.items():
            told |= self._tell(key, value)
        return told

    def _tell(self, key: Series, value: float) -> dict[Series, float]:
        copies: dict[Series, float] = {}
        for fault in self.active:
            if not fault.touches(key):
                continue
            match fault.kind:
                case FaultKind.DROP:
                    return {}
                case FaultKind.NAN:
                    value = math.nan
                case FaultKind.INFINITE:
                    value = math.inf
                case FaultKind.NEGATIVE:
                    value = -abs(value) - 1
                case FaultKind.FREEZE:
                    value = self._frozen.setdefault(key, value)
                case FaultKind.DUPLICATE:
                    copies[key.with_labels(job="second-monitor")] = value
                case FaultKind.GARBAGE | FaultKind.ERROR:
                    continue
        return {key: value} | copies


def render(samples: Mapping[Series, float]) -> str:
    """Text format 0.0.4, series of one family together under their type."""
    families: dict[str, list[str]] = {}
    for key, value in samples.items():
        families.setdefault(_family(key.metric), []).append(f"{key} {_number(value)}\n")
    return "".join(f"# TYPE {name} {_type(name)}\n{''.join(lines)}" for name, lines in sorted(families.items()))


def _family(metric: str) -> str:
    stem = re.sub(r"_(bucket|sum|count)$", "", metric)
    return stem if stem in HISTOGRAMS else metric


def _type(family: str) -> str:
    if family in HISTOGRAMS:
        return "histogram"
    return "counter" if family in COUNTERS else "gauge"


def _number(value: float) -> str:
    if math.isfinite(value):
        return repr(float(value))
    return "NaN" if math.isnan(value) else ("+Inf" if value > 0 else "-Inf")
