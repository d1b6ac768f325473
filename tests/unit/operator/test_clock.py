from __future__ import annotations

from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kcloud_autoscale.operator.clock import LEAP_SECONDS, MEMORY_SECONDS, FleetClock, agreed

TRUE = 1_800_000_000.0
DAY = 86_400.0


@pytest.mark.parametrize(
    ("own", "servers", "before", "right"),
    [
        (TRUE + 0.3, [TRUE, TRUE], None, TRUE + 0.3),  # within the resolution of a date this machine's stands
        (TRUE + DAY, [TRUE, TRUE], None, TRUE),  # wrong at the start
        (TRUE - DAY, [TRUE, TRUE], TRUE, TRUE),
        (TRUE, [TRUE + DAY, TRUE], None, TRUE),  # the API server's is wrong
        (TRUE, [TRUE, TRUE - DAY], TRUE, TRUE),  # Prometheus' is
        (TRUE + DAY, [TRUE], TRUE, TRUE),  # without Prometheus
        (TRUE, [TRUE + DAY], TRUE, TRUE),
        (TRUE + DAY, [TRUE], None, TRUE),
        (TRUE + DAY, [], TRUE, TRUE),  # nothing confirms the step
        (TRUE, [], None, TRUE),
        (TRUE, [TRUE], TRUE + DAY, TRUE),  # what was agreed alone was wrong
    ],
)
def test_the_clock_that_most_agree_with(own: float, servers: list[float], before: float | None, right: float):
    assert agreed(own, servers, before) == right


class World:
    """Three clocks and the time that passes."""

    def __init__(self) -> None:
        self.passed, self.error = 0.0, 0.0
        self.clock = FleetClock(lambda: TRUE + self.passed + self.error, lambda: 50.0 + self.passed)

    def cycle(self, seconds: float, servers: tuple[str, ...] = ("kubernetes", "prometheus")) -> float:
        self.passed += seconds
        for server in servers:
            self.clock.hear(server, formatdate(TRUE + self.passed, usegmt=True))
        return self.clock.adjust()


@pytest.mark.parametrize("error", [DAY, -DAY, 3_600.0, 31 * DAY])
@pytest.mark.parametrize("servers", [("kubernetes", "prometheus"), ("kubernetes",), ()])
def test_a_step_of_this_machines_clock_is_no_time(error: float, servers: tuple[str, ...]):
    world = World()
    world.cycle(0.0, servers)
    for step in (0.0, error, error, 0.0):
        world.error = step
        assert world.cycle(12.0, servers) == 0.0
        assert world.clock.now_seconds() == pytest.approx(TRUE + world.passed, abs=1.0)


@pytest.mark.parametrize("error", [DAY, -DAY])
def test_a_clock_that_is_wrong_at_the_start_and_corrected_later_never_was_believed(error: float):
    world = World()
    world.error = error
    world.cycle(0.0)
    assert world.clock.now_seconds() == pytest.approx(TRUE, abs=1.0)
    assert world.clock.error_seconds == pytest.approx(error, abs=1.0)
    world.error = 0.0
    assert world.cycle(60.0) == 0.0
    assert world.clock.now_seconds() == pytest.approx(TRUE + 60.0, abs=1.0)


def test_when_all_three_are_set_the_step_is_told():
    world = World()
    world.cycle(0.0)
    world.passed += 60.0
    world.error = DAY
    for server in ("kubernetes", "prometheus"):
        world.clock.hear(server, formatdate(TRUE + world.passed + DAY, usegmt=True))
    assert world.clock.adjust() == pytest.approx(DAY, abs=1.0)
    assert world.clock.now_seconds() == pytest.approx(TRUE + 60.0 + DAY, abs=1.0)


def test_a_date_of_long_ago_says_nothing_any_more():
    world = World()
    world.cycle(0.0)
    world.passed += MEMORY_SECONDS + 1.0
    world.error = DAY
    assert world.clock.adjust() == 0.0
    assert world.clock.now_seconds() == pytest.approx(TRUE + world.passed, abs=1.0)


def test_what_is_no_date_is_passed_over():
    world = World()
    for text in ("", "soon", "Tue, 99 Foo 2026 00:00:00 GMT"):
        world.clock.hear("kubernetes", text)
    assert world.clock.adjust() == 0.0
    assert world.clock.now_seconds() == TRUE


@given(st.lists(st.tuples(st.floats(1.0, 120.0), st.floats(-4.0, 4.0)), min_size=1, max_size=30))
def test_intervals_are_those_of_the_monotonic_clock_but_for_a_thousandth(cycles: list[tuple[float, float]]):
    world = World()
    world.cycle(0.0)
    for seconds, error in cycles:
        before = world.clock.now_seconds()
        world.error = error
        assert abs(error) < LEAP_SECONDS
        assert world.cycle(seconds) == 0.0
        assert world.clock.now_seconds() - before == pytest.approx(seconds, rel=0.0011)
