"""Values made anew at every tick: frozen to the type checker, and cheap to make.

A tick makes some forty small objects per workload. `dataclass(frozen=True)` writes each field through
``object.__setattr__``, because such a class refuses plain assignment even to its own ``__init__``: a value of six
fields takes five times as long to make, and that was a fifth of a tick. So mypy refuses here what the run-time would
have refused. What is made once and kept, as a policy is, stays a frozen dataclass.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar, dataclass_transform, overload

T = TypeVar("T")


@overload
def frozen(cls: type[T], /) -> type[T]: ...
@overload
def frozen(*, eq: bool) -> Callable[[type[T]], type[T]]: ...
@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def frozen(cls: type[T] | None = None, /, *, eq: bool = True) -> type[T] | Callable[[type[T]], type[T]]:
    """A class of slots, equal and hashed by its fields; with ``eq=False`` only equal to itself."""
    made = dataclass(slots=True, eq=eq, unsafe_hash=eq)
    return made if cls is None else made(cls)
