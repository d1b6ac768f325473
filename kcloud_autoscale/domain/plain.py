"""Values as plain numbers, lists and dictionaries, and back, by the fields of their dataclass.

What a rule adds to its state is kept without a line here: a field this version added and that one did not write has
its default, a field that is no more is passed over. A value that cannot be one (a text, an infinity) voids the whole
object: nothing is repaired by guessing.
"""

from __future__ import annotations

import functools
import math
import types
import typing
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any, TypeVar

import numpy as np

T = TypeVar("T")

# 0.01 $ of a billion, and 10 ms of a Unix time.
DIGITS = 12


class NotPlainError(ValueError):
    """What was read cannot have been written by `to_plain`."""


def to_plain(value: Any) -> Any:
    """Numbers to twelve significant digits; fields that have their default are left out."""
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}")
    if value is None or isinstance(value, str | int | bool):
        return value
    if isinstance(value, np.ndarray):
        return [to_plain(float(each)) for each in value]
    if isinstance(value, tuple):
        return [to_plain(each) for each in value]
    if is_dataclass(value):
        values = [(item, getattr(value, item.name)) for item in fields(value)]
        return {item.name: to_plain(each) for item, each in values if not _is_default(item, each)}
    raise TypeError(f"{type(value).__name__} has no plain form")


def from_plain(kind: type[T], plain: Any) -> T:
    """The value that `to_plain` made plain.

    Raises:
        NotPlainError: It cannot be one of this kind.
    """
    value: T = _read(kind, plain)
    return value


def _read(kind: Any, plain: Any) -> Any:
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        (inner,) = (each for each in typing.get_args(kind) if each is not types.NoneType)
        return None if plain is None else _read(inner, plain)
    if origin is tuple:
        return _tuple(typing.get_args(kind), plain)
    if origin is np.ndarray:
        return np.array([_number(each) for each in _list(plain)], dtype=np.float64)
    if kind is float:
        return _number(plain)
    if kind in (int, str, bool):
        if type(plain) is not kind:
            raise NotPlainError(f"{plain!r} is not a value of {kind.__name__}")
        return plain
    return _object(kind, plain)


def _object(kind: Any, plain: Any) -> Any:
    if not isinstance(plain, dict):
        raise NotPlainError(f"{plain!r} is not the fields of a {kind.__name__}")
    hints = _hints(kind)
    values = {item.name: _read(hints[item.name], plain[item.name]) for item in fields(kind) if item.name in plain}
    for item in fields(kind):
        if item.name not in values and item.default is MISSING and item.default_factory is MISSING:
            raise NotPlainError(f"{kind.__name__} lacks {item.name}")
    return kind(**values)


def _is_default(item: Field[Any], value: Any) -> bool:
    return item.default is not MISSING and type(value) is type(item.default) and bool(value == item.default)


def _tuple(kinds: tuple[Any, ...], plain: Any) -> tuple[Any, ...]:
    items = _list(plain)
    if kinds[-1] is Ellipsis:
        return tuple(_read(kinds[0], each) for each in items)
    if len(items) != len(kinds):
        raise NotPlainError(f"{len(items)} values instead of {len(kinds)}")
    return tuple(_read(kind, each) for kind, each in zip(kinds, items, strict=True))


def _list(plain: Any) -> list[Any]:
    if not isinstance(plain, list):
        raise NotPlainError(f"{plain!r} is not a list")
    return plain


def _number(plain: Any) -> float:
    if isinstance(plain, bool) or not isinstance(plain, int | float) or not math.isfinite(plain):
        raise NotPlainError(f"{plain!r} is not a finite number")
    return float(plain)


@functools.cache
def _hints(kind: Any) -> dict[str, Any]:
    return typing.get_type_hints(kind)
