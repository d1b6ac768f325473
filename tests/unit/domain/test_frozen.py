from __future__ import annotations

from dataclasses import field, replace

import pytest

from kcloud_autoscale.domain.frozen import frozen


@frozen
class Point:
    x: int
    y: int = 0
    names: tuple[str, ...] = field(default_factory=tuple)


@frozen(eq=False)
class Thing:
    x: int


def test_values_with_the_same_fields_are_the_same_key():
    assert Point(1, 2) == Point(x=1, y=2) != Point(1, 3)
    assert {Point(1, 2): "found"}[Point(1, 2, ())] == "found"
    assert replace(Point(1, 2), y=5) == Point(1, 5)


def test_things_are_equal_only_to_themselves():
    one = Thing(1)
    assert one == one != Thing(1)
    assert len({one, Thing(1)}) == 2


def test_a_field_that_is_not_declared_cannot_be_written():
    with pytest.raises(AttributeError):
        Point(1).z = 3  # type: ignore[attr-defined]
    assert not hasattr(Point(1), "__dict__")
