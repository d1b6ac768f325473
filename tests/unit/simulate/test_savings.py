"""What the table calls saved is what the operator's ledger would count."""

from dataclasses import replace

import numpy as np
import pytest

from kcloud_autoscale.account.ledger import Interval, Running, record, savings
from kcloud_autoscale.domain.policy import Caps
from kcloud_autoscale.domain.reading import Missing, MissingReason, Sample
from kcloud_autoscale.domain.state import Ledger
from kcloud_autoscale.simulate.run import Outcome
from kcloud_autoscale.simulate.score import Score, beside_hpa, score
from kcloud_autoscale.simulate.table import savings_text
from kcloud_autoscale.simulate.world import Run, WorldRules

RULES = WorldRules(10.0, 120.0)
UNKNOWN = Missing(MissingReason.NO_DATA)


def run(name: str, demand: list[float], replicas: list[int], ready: list[int]) -> Run:
    return Run(name, 0, 60.0, np.array(demand), np.array(replicas), np.array(ready), ["Test"] * len(demand))


def saved(ours: Run, hpa: Run) -> float | None:
    return beside_hpa(score(ours, RULES), ours, hpa, RULES).saved_fraction


def test_a_policy_that_fails_has_saved_nothing():
    hpa = run("hpa", [70.0, 70.0], [10, 10], [10, 10])
    assert saved(run("ours", [70.0, 70.0], [7, 7], [7, 7]), hpa) == pytest.approx(0.3)
    assert saved(run("ours", [70.0, 70.0], [1, 1], [1, 1]), hpa) == 0.0
    # In one of two steps a replica was lacking: 3 of 20 replica-minutes.
    assert saved(run("ours", [70.0, 70.0], [7, 6], [7, 6]), hpa) == pytest.approx(0.15)
    assert saved(hpa, hpa) == 0.0


def test_it_is_the_ledgers_sum():
    rng = np.random.default_rng(8)
    demand = rng.uniform(0.0, 100.0, 200)
    demand[rng.random(200) < 0.1] = np.nan
    ours, theirs = rng.integers(1, 12, (2, 200))
    our_ready, their_ready = np.minimum(ours, rng.integers(0, 12, 200)), np.minimum(theirs, rng.integers(0, 12, 200))
    ledger: Ledger | None = None
    price = Sample(3_600.0, 0.0)  # 1 $ a second
    for index in range(-1, 200):
        load = UNKNOWN if index < 0 or np.isnan(demand[index]) else Sample(float(demand[index]), 0.0)
        both = [
            Running(int(count[index]), int(ready[index]), price, UNKNOWN)
            for count, ready in ((ours, our_ready), (theirs, their_ready))
        ]
        interval = Interval(both[0], both[1], load, 10.0, 1, UNKNOWN)
        ledger, _ = record(ledger, interval, Caps(), 0.0, 60.0 * (index + 1))
    assert ledger is not None
    names = [run(name, demand.tolist(), count.tolist(), ready.tolist())
             for name, count, ready in (("ours", ours, our_ready), ("hpa", theirs, their_ready))]  # fmt: skip
    assert saved(*names) == pytest.approx(savings(ledger).usd / ledger.baseline.usd)


def outcome(name: str, violations: int, hours: float, saved: float | None = None) -> Outcome:
    scored = Score(name, 400, violations, 0.0, hours, 1.0, usd=2.0 * hours, watt_hours=500.0 * hours)
    return Outcome(run(name, [], [], []), replace(scored, saved_fraction=saved))


def test_what_was_saved_is_told_with_both_misses_and_at_equal_ones():
    # 22 % less at 2 of 400 steps short instead of none; an HPA that may miss those 2 as well leaves 5 % of it.
    ours, hpa = outcome("predictive", 2, 78.0, saved=0.21), outcome("hpa", 0, 100.0)
    beside, equal = savings_text({"predictive": ours, "hpa": hpa, "hpa-tuned": outcome("x", 2, 82.0)}).splitlines()
    assert beside == (
        "Beside HPA at 70 % 22 replica-hours, 44 USD, 11 kWh less (22%), with 0.50% of steps short of replicas instead "
        "of 0.00%; 21% were saved while as much was served."
    )
    assert equal == (
        "At equal misses, beside an HPA tuned with hindsight, 4 replica-hours, 8 USD, 2 kWh less (5%), with 0.50% of "
        "steps short of replicas beside its 0.50%."
    )
    dearer = savings_text({"predictive": ours, "hpa": outcome("hpa", 9, 60.0)})
    assert (
        "18 replica-hours, 36 USD, 9 kWh more (30%), with 0.50% of steps short of replicas instead of 2.25%" in dearer
    )
    # Where no target of an HPA is as good there are no equal misses to compare at.
    none = savings_text({"predictive": ours, "hpa-tuned": outcome("x", 3, 300.0)})
    assert none == "No HPA target from 5 % up misses as few steps: none is as good as 0.50% of steps short of replicas."
