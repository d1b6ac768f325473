"""Who is scaled: the optimizer's key, the target it scales and what kind of work runs there."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

FIELD_MANAGER = "kcloud-autoscale"
"""The name that our writes of a count are kept under in the target's ``metadata.managedFields``."""


class WorkloadKey(NamedTuple):
    """Namespace and name of a WorkloadOptimizer; the identity used from observation to ledger.

    A tuple, because it is looked up some twenty times per tick and workload: its hash costs a fifth of a dataclass's.
    """

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class TargetRef:
    """An object with a ``/scale`` subresource in the optimizer's own namespace."""

    api_version: str
    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


class WorkloadType(StrEnum):
    TRAINING = "training"
    SERVING = "serving"
    BATCH = "batch"
    STREAMING = "streaming"


class Mode(StrEnum):
    """What an optimizer may do: everything, everything but act, nothing."""

    AUTO = "Auto"
    RECOMMEND = "Recommend"
    OFF = "Off"
