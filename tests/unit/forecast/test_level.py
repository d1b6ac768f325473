from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import ndtri

from kcloud_autoscale.domain.policy import BaselineKind, ForecastPolicy, ScalingRules, WorkloadPolicy
from kcloud_autoscale.domain.series import Forecast
from kcloud_autoscale.domain.state import BaselineState, LevelState, Misses
from kcloud_autoscale.domain.workload import WorkloadKey
from kcloud_autoscale.forecast.level import (
    AIM_FRACTION,
    BASELINE_FRACTION,
    HALF_LIFE_SECONDS,
    PRICES,
    Moment,
    allowed_fraction,
    choose,
    level_of,
)

LEVELS = (0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995)
POLICY = WorkloadPolicy(WorkloadKey("a", "b"), max_replicas=100)
STEP = 60.0


def forecast(median: float, deviation: float, trusted: bool = True) -> Forecast:
    """A normal peak."""
    values = tuple(float(median + deviation * ndtri(level)) for level in LEVELS)
    return Forecast("test", 0.0, 300.0, LEVELS, values, trusted, "Calibrated" if trusted else "ColdStart")


def moment(step: int = 0, **changes: object) -> Moment:
    fields: dict[str, object] = {
        "policy": POLICY,
        "forecast": forecast(100.0, 10.0),
        "demand": 95.0,
        "kappa": 10.0,
        "replicas": 12,
        "ready_replicas": 12,
        "baseline": BaselineState(14, 14),
        "lead_time_seconds": 240.0,
        "cycle_seconds": STEP,
        "now_seconds": STEP * step,
    }
    return Moment(**(fields | changes))  # type: ignore[arg-type]


def lived(steps: int, demands: np.ndarray, **changes: object) -> tuple[LevelState, list[float]]:
    """The state after many steps in which the workload followed its own advice at once."""
    state, levels, ready = None, [], 12
    for step in range(steps):
        now = moment(step, demand=float(demands[step]), replicas=ready, ready_replicas=ready, **changes)
        state, chosen = choose(state, now)
        assert chosen is not None
        assert now.forecast is not None
        levels.append(chosen.order)
        order, keep = (int(np.ceil(now.forecast.at(level) / 10.0 - 1e-9)) for level in (chosen.order, chosen.keep))
        ready = max(order, min(ready, keep))
    assert state is not None
    return state, levels


def test_a_level_is_read_back_as_the_capacity_it_was_chosen_for():
    curve = forecast(100.0, 10.0)
    for capacity in (100.0, 110.0, 120.0):
        assert curve.at(level_of(curve, capacity)) == pytest.approx(capacity, rel=1e-6)
        assert np.ceil(curve.at(level_of(curve, capacity)) / 10.0 - 1e-9) == capacity / 10.0


def test_certainty_is_bought_where_it_is_cheap():
    # At the same price of a miss, a deviation of one replica buys a higher level than one of ten replicas.
    _, narrow = choose(None, moment(forecast=forecast(100.0, 10.0)))
    _, wide = choose(None, moment(forecast=forecast(100.0, 60.0)))
    assert narrow is not None
    assert wide is not None
    assert narrow.order > wide.order


def test_what_runs_is_kept_by_twice_the_price_it_is_ordered_by():
    # A peak of 100 +- 10 at 10 each. At the highest price r + 384 P(peak > 10 r) is 13.5 at 13 and 14.01 at 14, so 13
    # are ordered; at 768 it is 14.04 and 14.02, so of 20 that run 14 are kept. (P is 0.00135 and 0.0000317.)
    curve = forecast(100.0, 10.0)
    levels = (*curve.levels, 0.999, 0.99999)
    sharp = replace(curve, levels=levels, values=tuple(float(100.0 + 10.0 * ndtri(level)) for level in levels))
    limit = replace(POLICY, forecast=ForecastPolicy(max_violation_fraction=1e-6))
    state, chosen = choose(None, moment(forecast=sharp, policy=limit, replicas=20))
    assert chosen is not None
    assert np.ceil(sharp.at(chosen.order) / 10.0 - 1e-6) == 13
    assert np.ceil(sharp.at(chosen.keep) / 10.0 - 1e-6) == 14
    assert state.most_wanted[0][-1] == 14  # the shadow at that price as well
    state, _ = choose(None, moment(forecast=sharp, policy=limit, replicas=5))
    assert state.most_wanted[0][-1] == 13  # what does not run cannot be kept


@pytest.mark.parametrize("deviation", [0.0, 1.0, 10.0, 80.0])
def test_the_keep_level_is_never_below_that_of_the_order(deviation: float):
    _, chosen = choose(None, moment(forecast=forecast(100.0, deviation)))
    assert chosen is not None
    assert chosen.order <= chosen.keep


def test_no_trusted_forecast_no_level_but_the_shadows_go_on():
    state, level = choose(None, moment(forecast=forecast(100.0, 10.0, trusted=False)))
    assert level is None
    assert (state.most_wanted[0] == 14).all()  # as HPA runs
    _, level = choose(None, moment(forecast=None))
    assert level is None


def test_never_below_what_the_load_needs_now():
    state, _ = choose(None, moment(demand=175.0))
    assert (state.most_wanted[0] >= 18).all()


def test_the_bounds_of_the_spec_are_the_shadows_too():
    state, _ = choose(None, moment(policy=replace(POLICY, min_replicas=11, max_replicas=12)))
    assert set(state.most_wanted[0]) <= {11.0, 12.0}


def test_unknown_demand_holds_and_scores_nothing():
    state, _ = choose(None, moment(0))
    after, _ = choose(state, moment(1, demand=None, forecast=forecast(900.0, 10.0)))
    assert (after.most_wanted[0] == state.most_wanted[0]).all()
    assert after.misses.steps == 0.0


def test_a_tick_out_of_turn_is_no_step():
    state, _ = choose(None, moment(0))
    again, _ = choose(state, replace(moment(1), now_seconds=5.0))
    assert again is state


def test_shadows_serve_only_after_the_lead_time():
    state, _ = choose(None, moment(0, forecast=forecast(50.0, 1.0), demand=40.0))
    for step in range(1, 8):
        state, _ = choose(state, moment(step, forecast=forecast(200.0, 1.0), demand=40.0))
        # Lead time of four steps: ordered at step 1, serving from step 5.
        assert (state.least_run[-1][-1] >= 20) == (step >= 5)


def test_shadows_shrink_only_after_the_window():
    state, _ = choose(None, moment(0, forecast=forecast(200.0, 1.0), demand=40.0))
    for step in range(1, 8):
        state, _ = choose(state, moment(step, forecast=forecast(50.0, 1.0), demand=40.0))
        # 300 s are five recommendations, the present one included.
        assert (state.most_wanted[-1][-1] < 20) == (step >= 5)


def test_the_rows_are_running_extremes_and_misses_are_counted_by_them():
    rng = np.random.default_rng(8)
    state: LevelState | None = None
    wanted, orders, missed = [], [], np.zeros(len(PRICES))
    decay = 0.5 ** (60.0 / HALF_LIFE_SECONDS)
    for step in range(60):
        peak, deviation, demand = rng.uniform(40.0, 200.0), rng.uniform(0.0, 60.0), float(rng.uniform(20.0, 250.0))
        runs = int(rng.integers(1, 25))
        if orders:
            # A start-up of four steps: what was ordered in this step and the four before it serves.
            missed = decay * missed + (demand / 10.0 > np.min(orders[-5:], axis=0) * (1.0 + 1e-9))
        state, _ = choose(state, moment(step, demand=demand, forecast=forecast(peak, deviation), replicas=runs))
        wanted.append(state.most_wanted[0])
        orders.append(np.max(wanted[-5:], axis=0))
        assert (state.most_wanted[-1] == orders[-1]).all()
        assert (state.least_run[-1] == np.min(orders[-5:], axis=0)).all()
        assert state.misses.by_price == pytest.approx(missed)
        assert (np.diff(wanted[-1]) >= 0.0).all()
        assert (np.diff(state.misses.by_price) <= 0.0).all()
    assert missed.max() > missed.min() > 0.0


def test_a_new_process_goes_on_from_what_was_counted():
    rng = np.random.default_rng(6)
    before, _ = lived(2_000, rng.normal(100.0, 10.0, 2_000))
    now = moment(2_000, forecast=forecast(100.0, 60.0))
    after, chosen = choose(LevelState.beginning(before.misses), now)
    assert after.misses is before.misses  # the step that ended before it began is nobody's
    assert chosen == choose(before, now)[1]
    forgetful = choose(None, now)[1]
    assert forgetful is not None
    assert chosen is not None
    assert forgetful.order > chosen.order  # it pays for what it does not know


def test_a_lead_time_that_changes_keeps_what_was_learned():
    state, _ = lived(50, np.full(50, 95.0))
    longer, _ = choose(state, moment(50, lead_time_seconds=600.0))
    shorter, _ = choose(longer, moment(51, lead_time_seconds=0.0))
    assert (len(longer.least_run), len(shorter.least_run)) == (11, 1)
    assert shorter.misses.steps == pytest.approx(state.misses.steps + 2.0, rel=1e-3)


@pytest.mark.parametrize("allowed", [0.005, 0.02, 0.1])
def test_what_is_missed_settles_below_what_is_allowed(allowed: float):
    # The peak of the window is normal, and the load of each step is a fresh draw of it. HPA misses nothing here.
    rng = np.random.default_rng(3)
    steps = 6_000
    demands = rng.normal(100.0, 10.0, steps)
    policy = replace(
        POLICY,
        forecast=ForecastPolicy(max_violation_fraction=allowed),
        scale_down=ScalingRules(0.0, ()),  # as the workload here, which follows at once
    )
    state, _ = lived(steps, demands, policy=policy, baseline=BaselineState(50, 50), lead_time_seconds=0.0)
    assert 0.0 < state.misses.own / state.misses.steps <= allowed


def test_what_somebody_else_missed_is_not_made_good():
    # Somebody lets 8 replicas run where 10 are needed, for a day; no shadow would. Then the count is ours.
    orders = []
    for ours in (True, False):
        state = None
        for step in range(1_440):
            state, _ = choose(state, moment(step, replicas=8, ready_replicas=8, ours=ours))
        assert state is not None
        assert (state.misses.own > 0.0) is ours
        _, chosen = choose(state, moment(1_440, forecast=forecast(100.0, 60.0)))
        assert chosen is not None
        orders.append(chosen.order)
    assert orders[0] > orders[1]


def test_shares_missed_fall_with_the_price():
    rng = np.random.default_rng(4)
    state, _ = lived(3_000, rng.normal(100.0, 10.0, 3_000))
    assert (np.diff(state.misses.by_price) <= 1e-9).all()
    assert len(state.misses.by_price) == len(PRICES)


def counted(baseline_missed: float) -> Misses:
    """A thousand steps, of which HPA missed some."""
    return Misses(1_000.0, 0.0, baseline_missed, np.zeros(len(PRICES)))


def test_where_hpa_misses_more_as_much_is_allowed():
    # HPA at 70 % would have missed 20 % of the steps; the aim stays below what is allowed.
    assert allowed_fraction(counted(200.0), POLICY) == pytest.approx(BASELINE_FRACTION * 0.2)
    assert allowed_fraction(counted(1.0), POLICY) == pytest.approx(AIM_FRACTION * 0.01)


def test_what_the_user_has_set_is_a_limit_whatever_hpa_misses_and_whatever_the_priority():
    strict = replace(POLICY, forecast=ForecastPolicy(max_violation_fraction=0.002))
    for priority in (0, 50, 100):
        assert allowed_fraction(counted(200.0), replace(strict, priority=priority)) == AIM_FRACTION * 0.002


def test_another_baseline_excuses_nothing():
    demands = np.full(200, 180.0)  # more than the 14 of the baseline serve
    missed, _ = lived(200, demands, baseline=BaselineState(14, 14))
    excused, _ = lived(200, demands, policy=replace(POLICY, baseline=BaselineKind.PREVIOUS))
    assert missed.misses.baseline > 0.0
    assert excused.misses.baseline == 0.0


def test_priority_allows_less_or_more_but_never_more_than_hpa_misses():
    by_priority = [allowed_fraction(counted(0.0), replace(POLICY, priority=priority)) for priority in (0, 50, 100)]
    assert by_priority == pytest.approx([AIM_FRACTION * share for share in (0.05, 0.01, 0.002)])
    assert allowed_fraction(counted(200.0), replace(POLICY, priority=0)) == pytest.approx(BASELINE_FRACTION * 0.2)


def test_what_was_missed_beyond_the_allowance_is_made_good_and_what_was_not_missed_is_spent():
    # A price p misses 0.2 / p of the steps and 0.8 % are allowed: 32 does. With nothing missed 1.6 % are: 16 does.
    state, _ = lived(3_000, np.full(3_000, 95.0))
    misses = replace(state.misses, by_price=state.misses.steps * 0.2 / PRICES)
    aim, wide = allowed_fraction(misses, POLICY), forecast(100.0, 60.0)
    orders = []
    for missed in (2.0 * aim, aim, 0.0):
        known = replace(state, misses=replace(misses, own=missed * misses.steps))
        _, chosen = choose(known, moment(3_000, forecast=wide))
        assert chosen is not None
        orders.append(chosen.order)
    assert orders[0] > orders[1] > orders[2]


def test_an_outage_leaves_a_fifth_of_the_allowance():
    # 0.85 % are allowed and a whole day was missed. A fifth, 0.17 %, is left: a price of 128 misses 0.2 / 128 = 0.16 %.
    state, _ = lived(3_000, np.full(3_000, 95.0))
    misses = replace(state.misses, by_price=state.misses.steps * 0.2 / PRICES, own=1_440.0)
    wide = forecast(100.0, 60.0)
    _, chosen = choose(replace(state, misses=misses), moment(3_000, forecast=wide))
    _, dearest = choose(
        replace(state, misses=replace(misses, by_price=misses.by_price * 50.0)), moment(3_000, forecast=wide)
    )
    assert chosen is not None
    assert dearest is not None
    assert chosen.order < dearest.order
