"""Expert weights."""

from __future__ import annotations

import numpy as np

from kcloud_autoscale.forecast.hedge import hedge_weights

PRIOR = np.array([1.0, 1.0])


def test_forty_per_cent_less_loss_is_120_times_as_loud() -> None:
    # exp(12 x 0.4) = 121.5 once the prior has faded.
    weights = hedge_weights(np.array([[[10.0], [6.0]]]), np.array([1e12]), PRIOR, 12.0, 1.0)
    assert np.isclose(weights[0, 1, 0] / weights[0, 0, 0], np.exp(4.8))


def test_weights_sum_to_one_and_follow_the_prior_before_anything_is_known() -> None:
    weights = hedge_weights(np.zeros((1, 2, 3)), np.zeros(1), np.array([1.0, 0.5]), 2.0, 10.0)
    assert np.allclose(weights.sum(axis=1), 1.0)
    assert np.allclose(weights[0, 1] / weights[0, 0], np.exp(1.0))


def test_a_last_value_without_loss_leaves_the_prior_to_decide() -> None:
    weights = hedge_weights(np.zeros((1, 2, 1)), np.array([1e6]), PRIOR, 12.0, 1.0)
    assert np.allclose(weights, 0.5)


def test_an_absurd_loss_silences_an_expert_and_breaks_nothing() -> None:
    weights = hedge_weights(np.array([[[1e-300], [1e300]]]), np.array([1e6]), PRIOR, 12.0, 1.0)
    assert np.isfinite(weights).all()
    assert weights[0, 1, 0] < 1e-6


def test_who_does_not_speak_is_not_heard_however_good() -> None:
    losses, silent = np.array([[[10.0], [1.0]]]), np.array([[True, False]])
    assert hedge_weights(losses, np.array([1e9]), PRIOR, 12.0, 1.0, silent)[0, :, 0].tolist() == [1.0, 0.0]


def test_levels_are_judged_apart() -> None:
    losses = np.array([[[1.0, 1.0], [0.5, 2.0]]])
    weights = hedge_weights(losses, np.array([1e9]), PRIOR, 12.0, 1.0)
    assert weights[0, 1, 0] > 0.99
    assert weights[0, 1, 1] < 0.01
