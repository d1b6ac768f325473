"""Ridge from sufficient statistics, against scikit-learn on the raw rows."""

from __future__ import annotations

import numpy as np
from sklearn.linear_model import Ridge

from kcloud_autoscale.forecast.ridge import fold, penalties, solve


def rows(seed: int, count: int = 300, features: int = 5) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    values = generator.normal(size=(count, features))
    return values, values @ np.arange(1.0, features + 1) + generator.normal(size=count)


def test_folding_in_pieces_gives_the_coefficients_of_scikit_learn_on_all_rows() -> None:
    x, y = rows(0)
    gram, moment = np.zeros((1, 5, 5)), np.zeros((1, 5))
    for at in range(0, 300, 37):
        part = slice(at, at + 37)
        ones = np.ones((1, len(x[part])))
        gram, moment = fold(gram, moment, x[None, part], y[None, part], ones, np.ones(1))
    ours = solve(gram, moment, 3.0 * np.eye(5), np.zeros(5))[0]
    assert np.allclose(ours, Ridge(alpha=3.0, fit_intercept=False).fit(x, y).coef_)


def test_without_rows_the_prior_is_the_answer() -> None:
    prior = np.array([0.5, -1.0])
    assert np.allclose(solve(np.zeros((1, 2, 2)), np.zeros((1, 2)), np.eye(2), prior), prior)


def test_forgotten_rows_count_what_their_weight_says() -> None:
    # Old rows at a quarter, new ones in full: weighted least squares with those sample weights.
    (old_x, old_y), (new_x, new_y) = rows(1), rows(2)
    gram, moment = fold(np.zeros((1, 5, 5)), np.zeros((1, 5)), old_x[None], old_y[None], np.ones((1, 300)), np.ones(1))
    gram, moment = fold(gram, moment, new_x[None], new_y[None], np.ones((1, 300)), np.array([0.25]))
    reference = Ridge(alpha=1.0, fit_intercept=False).fit(
        np.vstack([old_x, new_x]), np.concatenate([old_y, new_y]), np.repeat([0.25, 1.0], 300)
    )
    assert np.allclose(solve(gram, moment, np.eye(5), np.zeros(5))[0], reference.coef_)


def test_series_of_a_batch_do_not_touch_each_other() -> None:
    (x, y), (other_x, other_y) = rows(3), rows(4)
    both = fold(
        np.zeros((2, 5, 5)),
        np.zeros((2, 5)),
        np.stack([x, other_x]),
        np.stack([y, other_y]),
        np.ones((2, 300)),
        np.ones(2),
    )
    alone = fold(np.zeros((1, 5, 5)), np.zeros((1, 5)), x[None], y[None], np.ones((1, 300)), np.ones(1))
    assert np.allclose(solve(*both, np.eye(5), np.zeros(5))[0], solve(*alone, np.eye(5), np.zeros(5))[0])


def penalty_of(mean_square: float, scale_rows: float) -> float:
    """What ten rows whose second feature has this mean square are pulled with; the guess is 1."""
    found = penalties(np.diag([10.0, 10.0 * mean_square])[None], np.eye(2), 100.0, scale_rows)
    assert found[0, 0, 0] == 100.0  # the intercept is as large as it is
    return float(found[0, 1, 1])


def test_a_calm_series_is_pulled_less_and_a_restless_one_no_more_than_guessed() -> None:
    # Half strength: a sixteenth of the mean square is a quarter of the penalty.
    assert np.isclose(penalty_of(1.0 / 16.0, 1e-9), 25.0)
    assert penalty_of(9.0, 1e-9) == 100.0


def test_sizes_are_half_way_after_as_many_rows_as_the_guess_is_worth() -> None:
    # Ten rows of 1/8 and ten guessed ones of 1 are 9/16 on average, and its root is 3/4.
    assert np.isclose(penalty_of(1.0 / 8.0, 10.0), 75.0)


def test_measured_sizes_stay() -> None:
    assert penalty_of(1.0 / 16.0, np.inf) == 100.0


def test_a_feature_that_never_moves_leaves_the_equations_solvable() -> None:
    gram = np.diag([1e6, 0.0])[None]
    pulled = solve(gram, np.zeros((1, 2)), penalties(gram, np.eye(2), 100.0, 1e-30), np.array([0.0, 2.0]))
    assert np.allclose(pulled, [[0.0, 2.0]])
