"""One rule of the API, said once: its CEL for the API server and its Python for `validate`, side by side.

A rule's two halves must give the same verdict and the same words; the integration tests put every broken example
before both.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

# What a check hands back: None when the value is fine, else the values that its sentence needs, in order.
Said = tuple[object, ...] | None


def cel_number(value: float) -> str:
    """A number as CEL's ``%s`` prints it: ``50.0`` is ``50``, ``1500000.0`` is ``1.5e+06``.

    That is Go's shortest ``%g``: the exponent form below 1e-4 and, for doubles, from 1e6 on.
    """
    if isinstance(value, int):
        return str(value)
    if value == 0.0:
        return "0"
    shortest = Decimal(repr(value)).normalize()
    exponent = shortest.adjusted()
    if -4 <= exponent < 6:
        return format(shortest, "f")
    digits = "".join(map(str, shortest.as_tuple().digits))
    mantissa = digits[0] + ("." + digits[1:] if len(digits) > 1 else "")
    return f"{'-' if value < 0 else ''}{mantissa}e{'+' if exponent >= 0 else '-'}{abs(exponent):02d}"


def cel_string(value: object) -> str:
    """Any value as CEL's ``%s`` prints it; lists as ``["a", "b"]``."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(f'"{item}"' if isinstance(item, str) else cel_string(item) for item in value) + "]"
    return cel_number(value) if isinstance(value, int | float) else str(value)


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


@dataclass(frozen=True, slots=True)
class Rule:
    """Something that one object can get wrong beyond types and bounds.

    Attributes:
        cel: True when the value is fine.
        check: The same in Python, on the plain (JSON) value after defaulting.
        text: The sentence for people; each ``{}`` takes one value.
        says: CEL for each of these values.
        field: Relative path of the field to blame, as in ``.minReplicas``; empty for the value itself.
    """

    cel: str
    check: Callable[[Any], Said]
    text: str
    says: tuple[str, ...] = ()
    field: str = ""

    def message(self, value: object) -> str | None:
        """What is wrong with a value, or None."""
        said = self.check(value)
        if said is None:
            return None
        pieces = self.text.split("{}")
        return pieces[0] + "".join(cel_string(value) + piece for value, piece in zip(said, pieces[1:], strict=True))

    def render(self) -> dict[str, str]:
        """The entry for ``x-kubernetes-validations``."""
        entry = {"rule": self.cel, "message": re.sub(r" ?\{\}", "", self.text).strip()}
        if self.says:
            entry["messageExpression"] = self._message_expression()
        if self.field:
            entry["fieldPath"] = self.field
        return entry

    def _message_expression(self) -> str:
        # `format`, because the API server bounds its cost; that of 'a' + string(b) it takes to be infinite.
        template = self.text.replace("%", "%%").replace("{}", "%s")
        return f"{_quoted(template)}.format([{', '.join(self.says)}])"


def when(broken: Callable[[Mapping[str, Any]], bool], *says: Callable[[Mapping[str, Any]], object] | str) -> Any:
    """A check from a predicate on an object and what to say: field names or functions of the object."""

    def check(value: Mapping[str, Any]) -> Said:
        if not broken(value):
            return None
        return tuple(value[say] if isinstance(say, str) else say(value) for say in says)

    return check
