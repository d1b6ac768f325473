"""What an extended resource is: an accelerator and what part of a card, a share of one, or none at all.

The table is data (``devices.toml``). What it does not list is unknown: it counts as nothing, and is named.
"""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum
from importlib import resources
from typing import Any

from kcloud_autoscale.domain.frozen import frozen

# NVIDIA cuts a card into seven compute slices, an A30 into four.
_MIG_SLICES = 7.0
_MIG_SLICES_OF = {"a30": 4.0}


def mig_fraction(slices: int, model_name: str) -> float:
    """What part of a card so many compute slices are; ``model_name`` as in the accelerator table, empty if unknown."""
    return slices / _MIG_SLICES_OF.get(model_name, _MIG_SLICES)


class Family(StrEnum):
    """Which price of a CostPolicy pays for a device."""

    GPU = "gpu"
    NPU = "npu"


class ShareUnit(StrEnum):
    """What an amount that goes with a device is measured in."""

    PERCENT = "percent"  # of a card
    MIB = "mib"  # of its memory
    UNKNOWN = "unknown"


@frozen
class DeviceResource:
    """What the table says of one extended resource.

    Attributes:
        family: None where it is no accelerator.
        units: How many of the card's parts one unit is: 2 for ``nvidia.com/mig-2g.20gb``.
        parts: Parts that make a card; 1 for whole cards.
        parts_of: The same where the card is of a certain model.
        unit_mib: A unit is this much of a card's memory; None where units are counted.
        cards_resource: The resource that counts whole cards on the same node; empty for none.
        divisible: Labels of the node may say that a unit is a part of a card.
        product: The model that the name itself tells; empty where it does not.
        share_of: Pattern of the devices of which this is a share; None for devices.
        share: The unit of that share.
    """

    family: Family | None = None
    units: float = 1.0
    parts: float = 1.0
    parts_of: Mapping[str, float] = field(default_factory=dict)
    unit_mib: float | None = None
    cards_resource: str = ""
    divisible: bool = False
    product: str = ""
    share_of: re.Pattern[str] | None = None
    share: ShareUnit = ShareUnit.UNKNOWN


@functools.cache
def _rows(kind: str) -> tuple[tuple[re.Pattern[str], Mapping[str, Any]], ...]:
    text = resources.files("kcloud_autoscale.domain").joinpath("devices.toml").read_text(encoding="utf-8")
    return tuple((re.compile(row["match"], re.IGNORECASE), row) for row in tomllib.loads(text)[kind])


@functools.lru_cache(maxsize=1024)
def device_resource(name: str) -> DeviceResource | None:
    """What an extended resource is; None where the table does not know it."""
    for pattern, row in _rows("resource"):
        found = pattern.fullmatch(name)
        if found is not None:
            return _resource(row, found.groupdict())
    return None


def _resource(row: Mapping[str, Any], named: Mapping[str, str | None]) -> DeviceResource:
    return DeviceResource(
        family=Family(row["family"]) if "family" in row else None,
        units=float(named.get("n") or 1.0),
        parts=float(row.get("parts", 1.0)),
        parts_of=row.get("parts_of", {}),
        unit_mib=row.get("unit_mib"),
        cards_resource=row.get("cards_resource", ""),
        divisible=row.get("divisible", False),
        product=named.get("product") or row.get("product", ""),
        share_of=re.compile(row["share_of"], re.IGNORECASE) if "share_of" in row else None,
        share=ShareUnit(row.get("share", ShareUnit.UNKNOWN)),
    )


def is_accelerator(name: str) -> bool:
    """Whether units of a resource are devices, or parts of devices, that are counted."""
    found = device_resource(name)
    return found is not None and found.family is not None


def family_of(name: str) -> Family:
    """Which price pays for a device; one that the table does not know, and the user named, is an NPU."""
    found = device_resource(name)
    return Family.NPU if found is None or found.family is None else found.family


@functools.lru_cache(maxsize=256)
def driver_family(driver: str) -> Family | None:
    """Which price pays for devices of a driver of dynamic resource allocation; None for what is no accelerator.

    Raises:
        KeyError: The table does not know the driver.
    """
    for pattern, row in _rows("driver"):
        if pattern.fullmatch(driver):
            return Family(row["family"]) if "family" in row else None
    raise KeyError(driver)
