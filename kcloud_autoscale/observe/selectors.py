"""Label selectors of Kubernetes, in both of their spellings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition on a label: ``in``, ``notin``, ``exists`` or ``absent``."""

    key: str
    operator: str
    values: frozenset[str] = frozenset()

    def holds(self, labels: Mapping[str, str]) -> bool:
        match self.operator:
            case "in":
                return labels.get(self.key) in self.values
            case "notin":
                return labels.get(self.key) not in self.values
            case "exists":
                return self.key in labels
            case _:
                return self.key not in labels


@dataclass(frozen=True, slots=True)
class LabelSelector:
    """Conditions that must all hold. Without any it matches nothing: a target's empty selector is a mistake."""

    requirements: tuple[Requirement, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        return bool(self.requirements) and all(each.holds(labels) for each in self.requirements)

    def anchor(self) -> tuple[str, str] | None:
        """A label every match carries, to look pods up by; None when no condition asks for one value."""
        for each in self.requirements:
            if each.operator == "in" and len(each.values) == 1:
                return each.key, next(iter(each.values))
        return None


_OPERATORS = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "absent"}


def from_object(selector: Mapping[str, Any] | None) -> LabelSelector:
    """``spec.selector`` of a Deployment: ``{matchLabels, matchExpressions}``."""
    selector = selector or {}
    found = [Requirement(key, "in", frozenset((value,))) for key, value in (selector.get("matchLabels") or {}).items()]
    found += [
        Requirement(each["key"], _OPERATORS[each["operator"]], frozenset(each.get("values") or ()))
        for each in selector.get("matchExpressions") or ()
    ]
    return LabelSelector(tuple(found))


_SET = re.compile(r"(?P<key>\S+)\s+(?P<operator>in|notin)\s*\((?P<values>[^)]*)\)")


def from_text(text: str) -> LabelSelector:
    """``status.selector`` of a Scale: ``app=llm,tier in (a,b),!canary``."""
    # A comma inside parentheses separates values, not conditions.
    parts = [part.strip() for part in re.split(r",(?![^(]*\))", text) if part.strip()]
    return LabelSelector(tuple(_requirement(part) for part in parts))


def _requirement(part: str) -> Requirement:
    if found := _SET.fullmatch(part):
        return Requirement(found["key"], found["operator"], frozenset(v.strip() for v in found["values"].split(",")))
    for sign, operator in (("!=", "notin"), ("==", "in"), ("=", "in")):
        key, found_sign, value = part.partition(sign)
        if found_sign:
            return Requirement(key.strip(), operator, frozenset((value.strip(),)))
    if part.startswith("!"):
        return Requirement(part[1:].strip(), "absent")
    return Requirement(part, "exists")
