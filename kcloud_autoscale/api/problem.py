"""Something wrong with an object: where, what it is, what would be right."""

from __future__ import annotations

from dataclasses import dataclass

Location = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault.

    Attributes:
        location: Keys and list positions from the top of the object.
        message: A sentence that names the value and the bound.
        value: What was found; None where something is missing.
        bound: What it should have been held against; None where there is no such thing.
    """

    location: Location
    message: str
    value: object = None
    bound: object = None

    @property
    def path(self) -> str:
        """The field as the API server writes it: ``spec.autoScaling.metrics[0].threshold``."""
        text = ""
        for part in self.location:
            text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
        return text

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.location else self.message
