"""What a setting may be: how its text is read, and the same bound as JSON schema, for the chart's values."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

_LABEL_PATTERN = "[a-zA-Z_][a-zA-Z0-9_]*"


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of setting.

    Attributes:
        parse: Text to value; ValueError says what the text must be.
        schema: JSON schema of the value where it is written as a value, not as text.
    """

    parse: Callable[[str], Any]
    schema: Mapping[str, Any]


def number(low: float, high: float) -> Kind:
    """A number from `low` to `high`."""

    def parse(raw: str) -> float:
        try:
            value = float(raw)
        except ValueError:
            raise ValueError(f"must be a number from {low:g} to {high:g}") from None
        if not low <= value <= high:
            raise ValueError(f"must be from {low:g} to {high:g}")
        return value

    return Kind(parse, {"type": "number", "minimum": low, "maximum": high})


def whole(low: int, high: int) -> Kind:
    """A whole number from `low` to `high`."""

    def parse(raw: str) -> int:
        if not raw.isascii() or not raw.isdigit() or not low <= int(raw) <= high:
            raise ValueError(f"must be a whole number from {low} to {high}")
        return int(raw)

    return Kind(parse, {"type": "integer", "minimum": low, "maximum": high})


def one_of(*allowed: str) -> Kind:
    """One of some words, in any case."""

    def parse(raw: str) -> str:
        found = next((choice for choice in allowed if choice.lower() == raw.lower()), None)
        if found is None:
            raise ValueError(f"must be one of {', '.join(allowed)}")
        return found

    return Kind(parse, {"type": "string", "enum": list(allowed)})


def _names(raw: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in raw.split(",") if name.strip())


def _switch(raw: str) -> bool:
    if raw.lower() in ("true", "1", "yes", "on"):
        return True
    if raw.lower() in ("false", "0", "no", "off"):
        return False
    raise ValueError("must be true or false")


def _http_url(raw: str) -> str:
    parts = urlsplit(raw)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be an http:// or https:// address")
    if parts.username or parts.password:
        raise ValueError("must not carry a password; use PROMETHEUS_TOKEN_FILE")
    return raw.rstrip("/")


def _readable_file(raw: str) -> Path:
    path = Path(raw)
    try:
        path.open("rb").close()
    except OSError as error:
        raise ValueError(f"must be a readable file: {error.strerror}") from error
    return path


def _name_patterns(raw: str) -> tuple[str, ...]:
    patterns = () if raw == "-" else _names(raw)
    wrong = [each for each in patterns if not _NAME_PATTERN.fullmatch(each)]
    if wrong:
        raise ValueError(f"{wrong[0]!r} is no namespace, nor one with * for any characters; - alone stands for none")
    return patterns


_NAME_PATTERN = re.compile(r"[a-z0-9*]([-a-z0-9*]{0,61}[a-z0-9*])?")


def _label_name(raw: str) -> str:
    if not re.fullmatch(_LABEL_PATTERN, raw):
        raise ValueError("must be a label name of Prometheus: letters, digits and underscores")
    return raw


TEXT = Kind(str, {"type": "string"})
NAMES = Kind(_names, {"type": "string"})
SWITCH = Kind(_switch, {"type": "boolean"})
HTTP_URL = Kind(_http_url, {"type": "string", "pattern": "^https?://"})
NAME_PATTERNS = Kind(_name_patterns, {"type": "string"})
LABEL_NAME = Kind(_label_name, {"type": "string", "pattern": f"^{_LABEL_PATTERN}$"})
READABLE_FILE = Kind(_readable_file, {"type": "string"})
