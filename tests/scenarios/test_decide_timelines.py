"""Stories told minute by minute: what a workload lives through, and the counts that follow."""

from __future__ import annotations

from collections.abc import Iterable

from kcloud_autoscale.decide.pipeline import decide_fleet
from kcloud_autoscale.domain.policy import Caps
from kcloud_autoscale.domain.reading import Sample
from kcloud_autoscale.domain.state import DecisionState
from tests.builders.deciding import NOW, UNKNOWN, a_case, a_fleet

Minute = tuple[float | None, float, Caps]
FREE = Caps()


def live(story: Iterable[Minute], start: int) -> list[int]:
    """Counts after each minute of (demand, forecast peak, caps); None is an outage. Every write is carried out."""
    state, running, counts = DecisionState(NOW), start, []
    for minute, (demand, peak, caps) in enumerate(story):
        now = NOW + 60.0 * minute
        reading = UNKNOWN if demand is None else Sample(demand, now)
        case = a_case(reading, running, peak, state=state, caps=caps)
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
