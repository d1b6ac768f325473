"""A model that a workload asks for is one voice more: honest from the first forecast on, and never in the way."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from kcloud_autoscale.domain.series import AskedModel, DemandHistory, Forecast
from kcloud_autoscale.domain.workload import WorkloadKey
from kcloud_autoscale.forecast.fitting import Fit, Wanted, fit, fitted_here
from kcloud_autoscale.forecast.live import LiveForecaster
from kcloud_autoscale.forecast.losses import pinball
from kcloud_autoscale.forecast.recurrence import LAGS, Recurrence, packed
from kcloud_autoscale.forecast.replay import replay
from kcloud_autoscale.forecast.settings import EXPERTS, LEVELS
from tests.builders.demand_series import Request, daily_wave, history, peaks

STEP = 600.0
DAY = 144
ASKING, PLAIN = WorkloadKey("ai", "asking"), WorkloadKey("ai", "plain")
Histories = Callable[[Wanted], DemandHistory]


def alternating(days: float = 8, seed: int = 5) -> np.ndarray:
    """A load that repeats what it did six steps ago; the built-in experts look at single steps up to three back."""
    steps, rng = round(days * DAY), np.random.default_rng(seed)
    noise = np.zeros(steps)
    for step in range(6, steps):
        noise[step] = 0.9 * noise[step - 6] + rng.normal(0.0, 0.1)
    return np.asarray(50.0 * np.exp(noise))


class Notes:
    """A fitter of this process that writes down what was wanted, and may be told not to fit."""

    def __init__(self) -> None:
        self.wanted: list[Wanted] = []
        self.works = True

    def __call__(self, wanted: Sequence[Wanted], history_of: Histories) -> Iterable[Fit]:
        self.wanted += wanted
        return fitted_here(wanted, history_of) if self.works else ()


class Slow:
    """A fitter that hands back what was wanted when it is asked the next time, as a process does."""

    def __init__(self, make: Callable[[Wanted, DemandHistory], Fit] = fit) -> None:
        self._make = make
        self._made: list[Fit] = []

    def __call__(self, wanted: Sequence[Wanted], history_of: Histories) -> Iterable[Fit]:
        made, self._made = self._made, []
        done = [each.wanted for each in made]
        self._made = [self._make(each, history_of(each)) for each in wanted if each not in done]
        return made


def ask(live: LiveForecaster, model: str | None = "AutoReg", key: WorkloadKey = ASKING) -> Forecast:
    return live.forecast([Request(key, model=model)], 0.0)[key]


def weight(forecast: Forecast, model: str = "AutoReg") -> float:
    return dict(forecast.weights).get(model, 0.0)


def test_who_did_not_ask_is_fitted_nothing_and_carries_nothing() -> None:
    notes = Notes()
    live = LiveForecaster(STEP, fitter=notes)
    live.learn({PLAIN: history(daily_wave(8, STEP), STEP)})
    assert ask(live, None, PLAIN).asked is None
    panel, _ = live.fleet.home_of(PLAIN)
    assert (panel.experts, panel.state.fit.size, panel.state.next_fit.size) == (len(EXPERTS), 0, 0)
    assert notes.wanted == []


def test_company_that_asks_changes_nothing_for_those_who_did_not() -> None:
    values = daily_wave(8, STEP)
    said = []
    for company in (False, True):
        live = LiveForecaster(STEP)
        keys = {PLAIN: None, ASKING: "AutoReg"} if company else {PLAIN: None}
        live.learn({key: history(values[:1000], STEP) for key in keys})
        requests = [Request(key, model=model) for key, model in keys.items()]
        live.forecast(requests, 0.0)
        live.learn({key: history(values[1000:1100], STEP, 1000) for key in keys})
        said.append(live.forecast(requests, 0.0)[PLAIN])
    assert said[0] == said[1]


def test_a_model_that_is_never_fitted_changes_nothing_and_says_so() -> None:
    values, notes = daily_wave(8, STEP), Notes()
    notes.works = False
    live, alone = LiveForecaster(STEP, fitter=notes), LiveForecaster(STEP)
    for each in (live, alone):
        each.learn({ASKING: history(values[:1000], STEP)})
    for end in range(1001, 1060):
        said, bare = ask(live, "ETS"), ask(alone, None)
        assert np.allclose(said.values, bare.values, rtol=1e-9), end
        for each in (live, alone):
            each.learn({ASKING: history(values[end - 1 : end], STEP, end - 1)})
    assert said.asked == AskedModel("ETS", False, "it has not been fitted yet")
    assert said.weights == bare.weights
    assert not live.to_reread()
    assert notes.wanted


def test_a_good_model_is_heard_from_the_first_forecast_on() -> None:
    """An operator that starts anew does not silence it for a day."""
    live = LiveForecaster(STEP)
    live.learn({ASKING: history(alternating(), STEP)})
    said = ask(live)
    assert said.asked is not None
    assert said.asked.fitted
    loudest, share = said.weights[0]
    assert loudest == "AutoReg"
    assert share > 0.4


def test_where_it_knows_what_the_others_do_not_the_forecast_is_sharper_for_it() -> None:
    values = alternating(16)
    losses = []
    for model in (None, "AutoReg"):
        told = replay(ASKING, history(values, STEP), 1_200.0, 8 * DAY, model=model)
        actual = peaks(values, told.horizon)[told.first : -told.horizon]
        said = told.quantiles[: -told.horizon, LEVELS.index(0.95)]
        losses.append(float(pinball(actual, said, np.array(0.95)).mean()))
    assert losses[1] < 0.75 * losses[0]


def test_the_last_days_are_rehearsed_with_fits_that_knew_nothing_of_them() -> None:
    notes = Notes()
    live = LiveForecaster(STEP, fitter=notes)
    live.learn({ASKING: history(alternating(), STEP)})
    ask(live)
    last = 8 * DAY - 1
    assert [each.cutoff for each in notes.wanted] == [last - 3 * DAY, last - 2 * DAY, last - DAY, last]
    assert {each.start for each in notes.wanted} == {last - 7 * DAY + 1}


def test_what_comes_later_changes_nothing_that_a_model_has_said() -> None:
    values = alternating()
    changed = values.copy()
    changed[1000:] *= 40.0
    said = [replay(ASKING, history(each, STEP), 900.0, 500, model="AutoReg") for each in (values, changed)]
    known = 1000 - said[0].first
    assert np.array_equal(said[0].quantiles[:known], said[1].quantiles[:known])
    assert not np.array_equal(said[0].quantiles, said[1].quantiles)
    assert said[0].weights[said[0].version[known - 1], -1, LEVELS.index(0.95)] > 0.1


def test_fits_that_come_a_cycle_later_are_taught_when_the_history_comes_again() -> None:
    """As in the operator: forecast at once without the model, then taught anew with the whole history."""
    values, slow = alternating(), Slow()
    live = LiveForecaster(STEP, fitter=slow)
    live.learn({ASKING: history(values[:1100], STEP)})
    first = ask(live)
    assert first.asked is not None
    assert not first.asked.fitted
    rereadings = 0
    for end in range(1101, 1106):
        again = ASKING in live.to_reread()
        rereadings += again
        begin = 0 if again else end - 1
        live.learn({ASKING: history(values[begin:end], STEP, begin)})
        said = ask(live)
        assert said.origin_seconds == end * STEP
    assert rereadings == 1
    assert weight(said) > 0.5


def test_it_is_fitted_anew_every_hour_and_heard_from_the_next_refresh_on() -> None:
    values, notes = alternating(), Notes()
    live = LiveForecaster(STEP, fitter=notes)
    live.learn({ASKING: history(values[:1000], STEP)})
    ask(live)
    notes.wanted.clear()
    panel, row = live.fleet.home_of(ASKING)
    spoken = []
    for end in range(1001, 1019):
        live.learn({ASKING: history(values[end - 1 : end], STEP, end - 1)})
        ask(live)
        spoken.append(panel.state.fit[row].tobytes())
    cutoffs = [each.cutoff for each in notes.wanted]
    assert np.diff(cutoffs).tolist() == [6, 6]  # three hours
    changes = [1000 + at for at in range(1, len(spoken)) if spoken[at] != spoken[at - 1]]
    assert changes == [cutoff + panel.grid.refresh for cutoff in cutoffs if cutoff + panel.grid.refresh < 1018]


def test_nonsense_is_not_heard_and_does_no_harm() -> None:
    def nonsense(wanted: Wanted, past: DemandHistory) -> Fit:
        swing = 4.0 + np.where(np.arange(DAY) % 2 == 0, 3.0, -3.0)
        return Fit(wanted, packed(Recurrence(np.zeros(LAGS), swing), 1.0, 0))

    def careless(wanted: Sequence[Wanted], history_of: Histories) -> Iterable[Fit]:
        return (nonsense(each, history_of(each)) for each in wanted)

    live, alone = LiveForecaster(STEP, fitter=careless), LiveForecaster(STEP)
    for each in (live, alone):
        each.learn({ASKING: history(daily_wave(8, STEP), STEP)})
    said, bare = ask(live), ask(alone, None)
    assert said.asked is not None
    assert said.asked.fitted
    assert weight(said) < 0.01
    assert np.allclose(said.values, bare.values, rtol=0.02)


def test_a_refusal_is_told_and_an_older_fit_goes_on() -> None:
    values, notes = alternating(), Notes()
    live = LiveForecaster(STEP, fitter=notes)
    live.learn({ASKING: history(values[:1000], STEP)})
    ask(live)

    def refusing(wanted: Sequence[Wanted], history_of: Histories) -> Iterable[Fit]:
        return (Fit(each, None, "it broke") for each in wanted)

    live.fleet._askers._fitter = refusing
    live.learn({ASKING: history(values[1000:1012], STEP, 1000)})
    asked = ask(live).asked
    assert asked is not None
    assert (asked.fitted, asked.message) == (True, "it broke")


def test_another_model_or_none_is_taught_from_the_whole_history() -> None:
    values = alternating()
    live = LiveForecaster(STEP)
    live.learn({ASKING: history(values[:1000], STEP)})
    models: list[str | None] = ["AutoReg", "ETS", None]
    for at, model in enumerate(models):
        ask(live, model)
        assert (ASKING in live.to_reread()) == (at > 0)
        live.learn({ASKING: history(values[: 1001 + at], STEP)})
        said = ask(live, model).asked
        assert said is None if model is None else said is not None and (said.model, said.fitted) == (model, True)
    assert not live.fleet.rehearsed(ASKING)


def test_gaps_are_filled_for_a_fit_and_too_short_a_history_is_refused_with_its_length() -> None:
    values = daily_wave(2, STEP)
    values[[0, 5, 100]] = np.nan
    wanted = Wanted("ai/asking", "AutoReg", 0, len(values) - 1)
    made = fit(wanted, history(values, STEP))
    assert made.values is not None
    assert np.isfinite(made.values).all()
    refused = fit(wanted, history(values[:50], STEP))
    assert (refused.values, refused.refusal) == (None, "it needs 76 steps of history, and there are 49")
    nothing = fit(wanted, history(np.full(90, np.nan), STEP))
    assert nothing.refusal == "it needs 76 steps of history, and there are 0"
