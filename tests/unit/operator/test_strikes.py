"""Who killed the forecast worker is found by splitting, and left out for a while."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from kcloud_autoscale.forecast.teach import Lesson
from kcloud_autoscale.operator.strikes import FORGOTTEN_SECONDS, SET_ASIDE_SECONDS, Strikes
from tests.builders.demand_series import history


def lesson_of(*names: str) -> Lesson:
    """One history for all."""
    return Lesson(names, tuple(history(np.ones(3), 60.0) for _ in names), 5, True)


def plan(strikes: Strikes, lesson: Lesson, now_seconds: float) -> list[tuple[str, ...]]:
    """Names by chunk, of 32 at most."""
    planned = strikes.plan([lesson], now_seconds)
    return [chunk.names for together, part in planned for chunk in part.split(min(32, together))]


def cycle(strikes: Strikes, names: Collection[str], poison: str, now_seconds: float) -> tuple[set[str], bool]:
    """Teach who is waiting until the worker dies; who was taught, and whether it died."""
    taught: set[str] = set()
    for chunk in plan(strikes, lesson_of(*names), now_seconds):
        if poison in chunk:
            strikes.died(lesson_of(*chunk), "was killed by SIGKILL", now_seconds)
            return taught, True
        strikes.forgive(lesson_of(*chunk))
        taught.update(chunk)
    return taught, False


def test_the_poisonous_one_of_a_hundred_is_found_in_five_deaths_and_all_others_are_taught() -> None:
    strikes, waiting, deaths = Strikes(), {f"ai/w{index}": None for index in range(100)}, 0
    for minute in range(10):
        taught, died = cycle(strikes, waiting, "ai/w40", 60.0 * minute)
        waiting = {name: None for name in waiting if name not in taught}
        deaths += died
    # 32 together twice, then 8, 2 and 1.
    assert deaths == 5
    assert set(waiting) == {"ai/w40"}
    assert strikes.set_aside() == {"ai/w40": "was killed by SIGKILL"}


def test_those_above_suspicion_come_first() -> None:
    strikes = Strikes()
    strikes.died(lesson_of("ai/bad", "ai/near"), "died", 0.0)
    assert plan(strikes, lesson_of("ai/bad", "ai/near", "ai/new"), 60.0) == [("ai/new",), ("ai/bad", "ai/near")]


def test_one_death_may_be_bad_luck_and_is_forgiven_with_success() -> None:
    strikes, both = Strikes(), lesson_of("ai/one", "ai/two")
    strikes.died(both, "died", 0.0)
    assert plan(strikes, both, 60.0) == [both.names]
    strikes.forgive(both)
    strikes.died(both, "died", 120.0)
    assert plan(strikes, both, 180.0) == [both.names]
    strikes.died(both, "died", 180.0)
    assert plan(strikes, both, 240.0) == [("ai/one",), ("ai/two",)]
    assert strikes.set_aside() == {}


def test_one_that_is_set_aside_is_tried_again_alone() -> None:
    strikes, alone = Strikes(), lesson_of("ai/bad")
    assert strikes.died(alone, "died", 0.0) == ()
    assert strikes.died(alone, "died", 60.0) == ("ai/bad",)
    both = lesson_of("ai/bad", "ai/good")
    later = 60.0 + SET_ASIDE_SECONDS
    assert plan(strikes, both, later - 1.0) == [("ai/good",)]
    assert plan(strikes, both, later) == [("ai/good",), ("ai/bad",)]
    assert strikes.set_aside() == {}
    assert strikes.died(alone, "died", later) == ("ai/bad",)
    assert plan(strikes, both, later + SET_ASIDE_SECONDS)[1] == ("ai/bad",)


def test_old_strikes_are_forgotten() -> None:
    strikes, both = Strikes(), lesson_of("ai/one", "ai/two")
    strikes.died(both, "died", 0.0)
    strikes.died(both, "died", 60.0)
    assert plan(strikes, both, 60.0 + FORGOTTEN_SECONDS) == [both.names]
