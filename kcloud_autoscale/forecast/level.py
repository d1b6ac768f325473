"""Which quantiles of the peak to order and to keep by, chosen at every step from what a miss and an idle replica cost.

A fixed quantile pays the same for certainty whether it is cheap or dear. Where the forecast is sharp one more replica
buys much of it, where it is wide a replica buys little. So at each step the count ``r`` is chosen that makes

    r + price * P(peak > r * kappa)

least: idle replicas against the chance of a miss, at a *price of a miss* in replica-steps. What serves already is kept
up to the count that twice that price asks for: a replica given up and ordered again is paid for during a start-up in
which it serves nobody. Between the two counts nothing changes, so that noise in the forecast does not stop and start
replicas.

What the right price is depends on the workload, and is learned: shadows of the workload run beside it, one per rung of
a ladder of prices, each with its own start-up and scale-down window, and what each would have missed is counted. The
lowest price whose shadow misses no more than is allowed is used. Allowed is what the user has set; where nothing is set
1 %, or what an HPA at 70 % on the same demand would have missed, where that is more.

All rungs are looked at on every step (full information), so a workload does not have to suffer in order to learn.
What the workload itself has missed steers it as well: more than is allowed is made good, less is spent. While its count
is not ours (mode Recommend, another autoscaler), what the price in use would have missed stands for it.
"""

from __future__ import annotations

import functools
import math

import numpy as np
from scipy.special import ndtr, ndtri

from kcloud_autoscale.domain.frozen import frozen
from kcloud_autoscale.domain.policy import BaselineKind, WorkloadPolicy
from kcloud_autoscale.domain.series import FloatArray, Forecast, Levels, interpolated
from kcloud_autoscale.domain.state import BaselineState, LevelState, Misses
from kcloud_autoscale.domain.units import SECONDS_PER_DAY

PRICES = np.array([1, 1.5, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384], dtype=np.float64)
# Two rungs up the price is twice as high; what runs is kept by that. For the topmost rungs it lies beyond the ladder.
KEEP_RUNGS = 2
_KEEP_PRICES = np.concatenate((PRICES, 2.0 * PRICES[-KEEP_RUNGS:]))
_PRICES_DOWN = _KEEP_PRICES[:, None]
# Weekdays and weekends are both in it, and a change of regime is felt within days.
HALF_LIFE_SECONDS = 5.0 * SECONDS_PER_DAY
# Before anything was seen a price p is believed to miss 0.5 / p of the steps (measured: 0.2 to 1.3 over real
# traces), with the weight of half a day.
PRIOR_MISS = 0.5
PRIOR_SECONDS = 0.5 * SECONDS_PER_DAY
DEFAULT_LIMIT_FRACTION = 0.01
# What is allowed is a limit, not an aim.
AIM_FRACTION = 0.85
BASELINE_FRACTION = 0.9
# What was missed beyond the allowance is made good twice over; what was not missed is spent, once, and never more than
# the allowance itself: 0.2 % missed of 0.8 % allowed make it 1.4 % until the mean is where it may be. Before anything
# was seen there is nothing to spend.
MAKE_GOOD, SPEND = 2.0, 1.0
# However much was missed, a fifth of the allowance is left: an hour of outage that no price could have prevented would
# otherwise be paid back at the highest price for days.
LEAST_LEFT = 0.2
# Priority 100 is allowed a fifth of the misses of priority 50, priority 0 five times as many.
PRIORITY_RATIO = 5.0
MOST_CANDIDATES = 64
_PRIOR_MISSES: list[float] = np.minimum(1.0, PRIOR_MISS / PRICES).tolist()


@frozen
class Moment:
    """What is known of one workload at one tick.

    Attributes:
        policy: Bounds, priority, scale-down window, allowed misses.
        forecast: Of the peak over lead time and one cycle; None where there is none.
        demand: Load per second of the step that has just ended; None when unknown.
        kappa: Load per second one replica serves.
        replicas: `spec.replicas`.
        ready_replicas: Serving now.
        baseline: The shadow HPA as it ran during the step that has just ended.
        lead_time_seconds: From an order to a ready replica.
        cycle_seconds: Between ticks.
        now_seconds: Unix time.
        ours: Whether the count that runs is what was decided here, and not somebody else's.
    """

    policy: WorkloadPolicy
    forecast: Forecast | None
    demand: float | None
    kappa: float
    replicas: int
    ready_replicas: int
    baseline: BaselineState
    lead_time_seconds: float
    cycle_seconds: float
    now_seconds: float
    ours: bool = True


def choose(state: LevelState | None, moment: Moment) -> tuple[LevelState, Levels | None]:
    """The levels to provision by now, and the state for the next tick.

    Returns:
        State, and the levels; None where the forecast is not trusted.
    """
    forecast = moment.forecast if moment.forecast is not None and moment.forecast.trusted else None
    values = () if forecast is None else _rising(forecast.values)
    counts = None if forecast is None else _counts(values, forecast.levels, moment.kappa)
    state = state or LevelState.beginning(Misses(0.0, 0.0, 0.0, np.zeros(len(PRICES))))
    if moment.now_seconds >= state.at_seconds + 0.9 * moment.cycle_seconds:
        # A tick out of turn, when a spec has changed, is no step of the shadows.
        state = _advanced(state, moment, counts)
    if forecast is None or counts is None:
        return state, None
    rung = _rung(state.misses, moment)
    ordered, kept = counts.item(rung), counts.item(rung + KEEP_RUNGS)
    order = _level_of(values, forecast.levels, ordered * moment.kappa)
    keep = order if kept == ordered else _level_of(values, forecast.levels, kept * moment.kappa)
    return state, Levels(order, keep)


def level_of(forecast: Forecast, capacity: float) -> float:
    """The level at which `forecast.at` is what a capacity serves; between the outermost levels."""
    return _level_of(_rising(forecast.values), forecast.levels, capacity)


def _level_of(values: tuple[float, ...], levels: tuple[float, ...], capacity: float) -> float:
    return interpolated(capacity * (1.0 - 1e-9), values, levels)


def allowed_fraction(misses: Misses, policy: WorkloadPolicy) -> float:
    """Share of steps that may be missed.

    What the user has set is a limit. Where nothing is set it is 1 %, or what HPA would have missed where that is more,
    a fifth of it at priority 100 and five times as much at priority 0 (but never more than HPA would have missed).
    """
    limit = policy.forecast.max_violation_fraction
    if limit is not None:
        return AIM_FRACTION * limit
    ease: float = PRIORITY_RATIO ** ((50.0 - policy.priority) / 50.0)
    own = AIM_FRACTION * DEFAULT_LIMIT_FRACTION * ease
    if misses.steps <= 0.0:
        return own
    return max(own, BASELINE_FRACTION * min(1.0, ease) * misses.baseline / misses.steps)


def _rung(misses: Misses, moment: Moment) -> int:
    """Index of the lowest price that is allowed; the highest when none is."""
    prior = PRIOR_SECONDS / moment.cycle_seconds
    steps = misses.steps + prior
    allowed = allowed_fraction(misses, moment.policy)
    unspent = (allowed * misses.steps - misses.own) / steps
    if unspent < 0.0:
        allowed = max(allowed + MAKE_GOOD * unspent, LEAST_LEFT * allowed)
    else:
        allowed += min(SPEND * unspent, allowed)
    for rung, missed in enumerate(misses.by_price.tolist()):
        if (missed + prior * _PRIOR_MISSES[rung]) / steps <= allowed:
            return rung
    return len(PRICES) - 1


def _counts(values: tuple[float, ...], levels: tuple[float, ...], kappa: float) -> FloatArray:
    """Shape ``(prices + KEEP_RUNGS,)``: replicas that make idle replicas plus priced misses least, for each price.

    The curve is read between its levels in normal scores. With quantiles 40 and 60 at 0.5 and 0.95 and κ 10, 4, 5 and
    6 replicas leave 0.5, 0.21 and 0.05: at a price of 5 that is 6.5, 6.03 and 6.25, so 5; at a price of 20, 6. They
    never fall as the price rises: where one replica more is worth it, it is so at every higher price.
    """
    least = math.ceil(values[0] / kappa - 1e-9)
    most = max(least, math.ceil(values[-1] / kappa - 1e-9))
    if least == most:
        return np.full(len(_KEEP_PRICES), float(least))
    stride = 1 + (most - least) // MOST_CANDIDATES
    counts = np.arange(least, most + stride, stride, dtype=np.float64)
    served = counts * kappa
    missing = ndtr(np.interp(served, values, _falling_scores(levels)))
    if served[-1] >= values[-1]:
        missing[-1] = 0.0
    best: FloatArray = counts[(counts + _PRICES_DOWN * missing).argmin(axis=1)]
    return best


def _scored(state: LevelState, moment: Moment) -> Misses:
    """What was missed with the step that has just ended."""
    misses = state.misses
    if moment.demand is None or not len(state.least_run):
        return misses
    decay = 0.5 ** (moment.cycle_seconds / HALF_LIFE_SECONDS)
    load = moment.demand / (moment.kappa * (1.0 + 1e-9))
    shadows = state.least_run[-1]
    by_price = decay * misses.by_price
    # A higher price never runs less: mostly not even the lowest one missed.
    if load > shadows.item(0):
        by_price += load > shadows
    # Those that became ready just now did not serve in the step, and those removed at its beginning neither. A count
    # that is not ours says nothing of how we spend what is allowed: a day of misses would be made good for weeks.
    served = min(state.ready_replicas, moment.ready_replicas) if moment.ours else shadows.item(_rung(misses, moment))
    compared = moment.policy.baseline is BaselineKind.HPA and moment.baseline.replicas is not None
    return Misses(
        decay * misses.steps + 1.0,
        decay * misses.own + float(load > served),
        decay * misses.baseline + (compared and load > moment.baseline.ready),
        by_price,
    )


def _advanced(state: LevelState, moment: Moment, counts: FloatArray | None) -> LevelState:
    """The step that has just ended counted, and every shadow's next order: the largest it wanted within the window."""
    policy, cycle = moment.policy, moment.cycle_seconds
    # A recommendation exactly as old as the window is forgotten: 300 s are five of 60 s, the present one included.
    window = max(1, math.ceil(policy.scale_down.stabilization_window_seconds / cycle - 1e-9))
    lead = 1 + math.ceil(moment.lead_time_seconds / cycle - 1e-9)
    wanted = _running(np.maximum, state.most_wanted, _wanted(state, moment, counts), window)
    run = _running(np.minimum, state.least_run, wanted[-1], lead)
    return LevelState(_scored(state, moment), wanted, run, moment.ready_replicas, moment.now_seconds)


def _wanted(state: LevelState, moment: Moment, counts: FloatArray | None) -> FloatArray:
    """What each shadow wants now, shape ``(prices,)``: what it orders, or of what really runs as much as it keeps.

    It keeps what the workload has, not what it would have itself: a shadow that lives on what only it once ordered
    would say of its price what does not hold for the workload. Without a forecast it wants what HPA wants.
    """
    policy = moment.policy
    if moment.demand is None and len(state.most_wanted):
        held: FloatArray = state.most_wanted[0]
        return held
    observed = 0.0 if moment.demand is None else math.ceil(moment.demand / moment.kappa - 1e-9)
    least, most = max(observed, policy.min_replicas), policy.max_replicas
    if counts is None:
        shadow = moment.baseline.replicas
        counts = np.full(len(_KEEP_PRICES), float(moment.ready_replicas if shadow is None else shadow))
    ordered, kept = counts[:-KEEP_RUNGS], counts[KEEP_RUNGS:]
    wanted: FloatArray = np.minimum(np.maximum(ordered, float(moment.replicas)), kept)
    # They rise with the price, so the ends tell whether a bound concerns any of them.
    if wanted.item(0) < least:
        wanted = np.maximum(wanted, float(least))
    if wanted.item(-1) > most:
        wanted = np.minimum(wanted, float(most))
    return wanted


def _running(extreme: np.ufunc, rows: FloatArray, newest: FloatArray, count: int) -> FloatArray:
    """Extremes of the newest 1, 2, … `count` steps, given those before this step; shape ``(count, prices)``.

    What is not there yet was as the oldest.
    """
    known = min(len(rows), count - 1)
    after = np.empty((count, len(newest)))
    after[0] = newest
    if known:
        extreme(rows[:known], newest, out=after[1 : known + 1])
    if known + 1 < count:
        after[known + 1 :] = after[known]
    return after


@functools.lru_cache(maxsize=256)
def _falling_scores(levels: tuple[float, ...]) -> FloatArray:
    """Normal scores of what is beyond each level: 0.5 is 0, 0.95 is -1.645."""
    return -np.asarray(ndtri(levels))


def _rising(values: tuple[float, ...]) -> tuple[float, ...]:
    """The values, strictly ascending by a hair, so that the curve can be read backwards."""
    hair = 1e-12 * max(1.0, values[-1])
    return tuple([value + hair * index for index, value in enumerate(values)])
