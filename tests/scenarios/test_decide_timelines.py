"""Stories told minute by minute: what a workload lives through, and the counts that follow."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from kcloud_autoscale.decide.pipeline import decide_fleet
from kcloud_autoscale.domain.policy import Caps, DemandSource
from kcloud_autoscale.domain.reading import Sample
from kcloud_autoscale.domain.state import DecisionState
from tests.builders.deciding import NOW, UNKNOWN, a_case, a_fleet

Minute = tuple[float | None, float, Caps]
FREE = Caps()


def live(story: Iterable[Minute], start: int, **policy: Any) -> list[int]:
    """Counts after each minute of (demand, forecast peak, caps); None is an outage. Every write is carried out."""
    state, running, counts = DecisionState(NOW), start, []
    for minute, (demand, peak, caps) in enumerate(story):
        now = NOW + 60.0 * minute
        reading = UNKNOWN if demand is None else Sample(demand, now)
        case = a_case(reading, running, peak, state=state, caps=caps)
        case = replace(case, policy=replace(case.policy, **policy))
        outcome = decide_fleet((case,), a_fleet(case), now)
        state = outcome.states[0]
        for action in outcome.fleet.actions:
            running = action.to_replicas
        counts.append(running)
    return counts


def test_the_count_rises_before_the_ramp_and_falls_a_window_after_it():
    ramp = [(10.0, 10.0)] * 6 + [(10.0, 60.0)] * 3 + [(60.0, 60.0)] * 3 + [(10.0, 10.0)] * 6
    counts = live([(*minute, FREE) for minute in ramp], start=1)

    assert counts[:6] == [1] * 6
    assert counts[6:9] == [6] * 3  # before the load is there
    assert counts[9:16] == [6] * 7  # last wanted in minute 11, forgotten five minutes later
    assert counts[16:] == [1, 1]


def test_an_outage_holds_the_count_and_one_window_after_it():
    story = [(50.0, 50.0)] * 7 + [(None, 10.0)] * 10 + [(10.0, 10.0)] * 7
    counts = live([(*minute, FREE) for minute in story], start=5)

    assert counts[:22] == [5] * 22  # good again in minute 17: 17, 18, 19, 20, 21 are not yet a whole window
    assert counts[22:] == [1, 1]


def test_growth_after_an_outage_does_not_wait():
    story = [(50.0, 50.0)] * 2 + [(None, 90.0)] * 3 + [(80.0, 90.0)]

    assert live([(*minute, FREE) for minute in story], start=5) == [5, 5, 5, 5, 5, 9]


def test_a_cap_lowered_on_the_fly_cuts_at_once_and_raised_again_gives_back():
    low, high = Caps(max_watts=2_000.0), Caps(max_watts=9_000.0)
    story = [(70.0, 75.0, high)] * 2 + [(70.0, 75.0, low)] * 2 + [(70.0, 75.0, high)]

    assert live(story, start=7) == [8, 8, 4, 4, 8]


def test_a_load_that_trembles_around_a_whole_count_does_not_flap():
    story = [(39.5 if minute % 2 else 40.5, 40.0, FREE) for minute in range(30)]
    counts = live(story, start=4)

    assert counts[0] == 5
    assert set(counts) == {5}


def test_a_target_sleeps_after_a_quiet_time_wakes_with_the_first_demand_and_before_a_forecast_one():
    quiet, some, foreseen = (0.0, 0.002), (0.4, 0.4), (0.0, 12.0)
    story = [some] * 3 + [quiet] * 9 + [some] + [quiet] * 8 + [foreseen] * 2 + [(11.0, 12.0)]
    gateway = {"min_replicas": 0, "demand": DemandSource(query="gateway")}
    counts = live([(*minute, FREE) for minute in story], start=2, **gateway)

    assert counts[:3] == [2, 2, 2]
    # The window begins with the 2 that ran, forgotten in minute 5. Quiet since minute 3: the last one goes in minute 8.
    assert counts[3:12] == [2, 2, 1, 1, 1, 0, 0, 0, 0]
    assert counts[12] == 1  # in the very cycle
    assert counts[13:21] == [1] * 5 + [0] * 3
    assert counts[21:] == [2, 2, 2]  # nobody has asked yet


def test_an_outage_of_prometheus_neither_wakes_nor_sleeps():
    story = [(0.0, 0.0)] * 8 + [(None, 0.0)] * 12 + [(5.0, 5.0)] + [(None, 0.0)] * 12
    gateway = {"min_replicas": 0, "demand": DemandSource(query="gateway")}
    counts = live([(*minute, FREE) for minute in story], start=1, **gateway)

    assert counts[7:20] == [0] * 13
    assert counts[20:] == [1] * 13
