"""Lessons of half a second, whatever the machine and the histories."""

from __future__ import annotations

import numpy as np

from kcloud_autoscale.forecast.teach import Lesson
from kcloud_autoscale.operator.pace import Pace
from tests.builders.demand_series import history


def lesson_of(count: int, steps: int, short: bool = False) -> Lesson:
    return Lesson(tuple(map(str, range(count))), (history(np.ones(steps), 60.0),) * count, 5, short)


def test_the_first_lesson_is_small_and_later_ones_take_half_a_second() -> None:
    pace, waiting = Pace(), lesson_of(200, 20_160)
    assert pace.size(waiting) == 8
    pace.took(lesson_of(8, 20_160), 0.125)  # 16 ms each: 32 in half a second
    assert pace.size(waiting) == 32
    pace.took(lesson_of(32, 20_160), 2.0)  # the machine has become busy: 62.5 ms each
    assert pace.size(waiting) == 8
    pace.took(lesson_of(8, 20_160), 20.0)  # 2.5 s each
    assert pace.size(waiting) == 1


def test_it_grows_by_four_and_up_to_a_bound() -> None:
    pace, waiting, sizes = Pace(), lesson_of(1_000, 10, short=True), []
    for _ in range(4):
        sizes.append(pace.size(waiting))
        pace.took(lesson_of(sizes[-1], 10, short=True), 0.01)
    assert sizes == [8, 32, 128, 128]


def test_longer_histories_and_the_other_kind_are_told_apart() -> None:
    pace = Pace()
    pace.took(lesson_of(100, 1_440), 0.1)  # 1 ms a day: two weeks are 14 ms each, 35 of them half a second
    assert pace.size(lesson_of(100, 20_160)) == 35
    assert pace.size(lesson_of(100, 60, short=True)) == 8
