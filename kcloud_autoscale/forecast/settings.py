"""Every constant of the fleet forecaster, each explained by what it does, and its translation into steps."""

from __future__ import annotations

from dataclasses import dataclass

DAY_SECONDS = 86_400.0

LEVELS: tuple[float, ...] = (0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995)
"""Quantiles kept for every workload; between them one interpolates."""

EXPERTS: tuple[str, ...] = ("last value", "EWMA", "seasonal naive", "short ridge", "ridge", "scaled ridge")
"""Who is heard, in the order of every array axis named ``experts``. Last value is always first and always in.

A workload that asks for a model has one more, after these."""


@dataclass(frozen=True, slots=True)
class FleetSettings:
    """How the fleet forecaster learns.

    Attributes:
        half_life_seconds: A week: after it an old row counts half in the ridge, so last week's same weekday still does.
        prior_rows: Pseudo-rows the ridge is shrunk with. 100 rows are 100 minutes at a 60 s step: bursty series
            of a few hours over-fit 26 coefficients without them.
        residual_seconds: Four days of residuals behind every calibrated quantile. Two days hold only 48 windows of
            an hour, which is too few for the 0.95 quantile of bursty load; a week feels a change of regime for days.
        residual_count: Size of that window; longer ones are thinned. 576 puts 2.9 residuals above the 0.995 quantile.
        refresh_seconds: Coefficients, quantile offsets and expert weights are recomputed this often, each workload at
            its own phase, so that at a 60 s step one thirtieth of the fleet is recomputed per cycle.
        refit_seconds: A model that was asked for is fitted anew this often; in between it takes every step in.
        hedge_rate: 30 makes an expert with 16 % less loss than last value exp(30 x 0.16) = 120 times as loud. At 12 the
            others kept a third of the say where the best was 12 % better, and cost half of what it was better.
        hedge_half_life_seconds: A day, so that a model that is good at night and bad by day is judged on both.
        growth_limit: No quantile exceeds this multiple of the largest load ever seen.
        prior_residuals: Weight of the prior offsets, in independent residuals: windows that do not overlap. After
            four days of one-hour windows there are 96, and the prior keeps 14 % of the say.
        cold_inflation: Prior offsets are this much wider than typical, until residuals of the workload's own speak.
        warm_up_score_seconds: Warm-up replays predictions only for this last stretch; older history only trains.
        warm_up_origin_seconds: Spacing of the origins learned from before that; neighbours share most of their window.
        warm_up_refresh_seconds: Spacing of the recomputations in a warm-up.
        trusted_seconds: Known history below which a forecast must not be acted on.
        demotion_ratio: Above this ratio of live pinball loss to calibrated last value's the workload is demoted.
        coverage_slack: Live coverage of the 0.95 quantile may fall this far below before the workload is demoted.
    """

    half_life_seconds: float = 7 * DAY_SECONDS
    prior_rows: float = 100.0
    residual_seconds: float = 4 * DAY_SECONDS
    residual_count: int = 576
    refresh_seconds: float = 1_800.0
    refit_seconds: float = 3_600.0
    hedge_rate: float = 30.0
    hedge_half_life_seconds: float = DAY_SECONDS
    growth_limit: float = 1.2
    prior_residuals: float = 15.0
    cold_inflation: float = 1.2
    warm_up_score_seconds: float = 3.0 * DAY_SECONDS
    warm_up_origin_seconds: float = 600.0
    warm_up_refresh_seconds: float = 6 * 3_600.0
    trusted_seconds: float = 600.0
    demotion_ratio: float = 1.05
    coverage_slack: float = 0.08


@dataclass(frozen=True, slots=True)
class Grid:
    """`FleetSettings` in steps of one panel: a step length and one horizon.

    Attributes:
        horizon: Steps of the lead window whose peak is forecast.
        day: Steps per day.
        smooth: Steps averaged when a level is looked up on an earlier day; a power of two.
        recent: Steps before the present that features look at directly.
        refresh: Steps between recomputations.
        refit: Steps between fits of a model that was asked for; a whole number of recomputations.
        block: Most steps that can be taken in one go.
        ring: Steps of history kept, a week and what surrounds it.
        pending: Origins whose features are kept until their window has been seen and learned from.
        stride: One origin in so many leaves a residual.
        residuals: Residuals kept.
    """

    step_seconds: float
    horizon: int
    day: int
    smooth: int
    recent: int
    refresh: int
    refit: int
    block: int
    ring: int
    pending: int
    stride: int
    residuals: int


def steps_in(seconds: float, step_seconds: float, least: int = 1) -> int:
    """Whole steps nearest to a duration: 1,800 s are 30 steps of 60 s, and at least one of an hour."""
    return max(least, round(seconds / step_seconds))


def grid_of(settings: FleetSettings, step_seconds: float, horizon: int, refresh_seconds: float | None = None) -> Grid:
    """Lay out one panel; ``refresh_seconds`` overrides the settings' for a warm-up."""
    day = steps_in(DAY_SECONDS, step_seconds)
    refresh = steps_in(settings.refresh_seconds if refresh_seconds is None else refresh_seconds, step_seconds)
    smooth = 1 << max(0, (steps_in(900.0, step_seconds)).bit_length() - 1)
    recent = max(4, horizon, steps_in(3_600.0, step_seconds))
    residual_steps = steps_in(settings.residual_seconds, step_seconds)
    stride = max(1, -(-residual_steps // settings.residual_count))
    return Grid(
        step_seconds=step_seconds,
        horizon=horizon,
        day=day,
        smooth=smooth,
        recent=recent,
        refresh=refresh,
        refit=refresh * max(1, round(settings.refit_seconds / (refresh * step_seconds))),
        block=refresh,
        ring=7 * day + smooth + 2 * horizon + refresh + recent,
        pending=refresh + horizon + 1,
        stride=stride,
        residuals=max(1, residual_steps // stride),
    )
