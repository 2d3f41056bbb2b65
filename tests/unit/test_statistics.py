"""Sharpe statistics and resampling, against published examples, closed forms and exact slow computations."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy.stats import norm

from calibrig.calibration.blocks import (
    bootstrap_weights,
    choose_block_length,
    compute_long_run_variance,
    resample_stationary,
)
from calibrig.calibration.statistics import (
    SharpeRatio,
    compute_deflated_sharpe,
    compute_expected_maximum_sharpe,
    compute_overfitting_probability,
    compute_probabilistic_sharpe,
    compute_sharpe,
)
from calibrig.errors import InvalidInputError


def test_probabilistic_sharpe_agrees_with_the_published_example() -> None:
    # Bailey, Lopez de Prado (2012), table: SR 1.585 a year from 24 monthly returns, skewness -2.448, kurtosis
    # 10.164: PSR(0) is 0.913 (normal returns would give 0.982).
    sr = 0.458
    spread = 1.0 + 2.448 * sr + (10.164 - 1.0) / 4.0 * sr**2
    ratio = SharpeRatio(
        per_period=sr,
        standard_error=math.sqrt(spread / 23),
        skewness=-2.448,
        kurtosis=10.164,
        periods=24,
        periods_per_year=12.0,
    )
    assert compute_probabilistic_sharpe(ratio) == pytest.approx(0.913, abs=2e-3)


def test_standard_error_covers_for_skewed_results() -> None:
    rng = np.random.default_rng(4)
    truth, estimates, errors = 0.1, [], []
    for _ in range(400):
        pnl = truth + (rng.exponential(1.0, 250) - 1.0)  # mean truth, deviation 1, skewness 2
        ratio = compute_sharpe(pnl)
        estimates.append(ratio.per_period)
        errors.append(ratio.standard_error)
    assert np.std(estimates) == pytest.approx(np.mean(errors), rel=0.12)


def test_expected_maximum_agrees_with_the_integral() -> None:
    # exact expectation of the maximum of N standard normals: integral of x d(Phi^N)
    grid = np.linspace(-8, 8, 20_001)
    for trials in (10, 100, 1_000):
        exact = float(np.trapezoid(grid * trials * norm.pdf(grid) * norm.cdf(grid) ** (trials - 1), grid))
        approximate = compute_expected_maximum_sharpe(trials=trials, deviation_per_period=1.0)
        assert approximate == pytest.approx(exact, rel=0.03)


def test_deflation_with_one_trial_is_the_probabilistic_ratio() -> None:
    ratio = compute_sharpe(np.random.default_rng(0).standard_normal(100) + 0.1)
    assert compute_deflated_sharpe(ratio, trials=1, deviation_per_period=0.3) == compute_probabilistic_sharpe(
        ratio
    )


def test_flat_results_are_no_evidence() -> None:
    assert compute_probabilistic_sharpe(compute_sharpe(np.zeros(30))) == 0.0
    assert compute_sharpe(np.zeros(30)).per_period == 0.0
    with pytest.raises(InvalidInputError, match="at least 2"):
        compute_sharpe(np.array([1.0]))


def test_overfitting_agrees_with_the_slow_computation() -> None:
    results = np.random.default_rng(11).standard_normal((24, 5))
    parts = np.array_split(np.arange(24), 4)
    poor = []
    for chosen in itertools.combinations(range(4), 2):
        inside = np.concatenate([parts[i] for i in chosen])
        outside = np.concatenate([parts[i] for i in range(4) if i not in chosen])
        trained = results[inside].mean(axis=0) / results[inside].std(axis=0, ddof=1)
        tested = results[outside].mean(axis=0) / results[outside].std(axis=0, ddof=1)
        rank = 1 + np.sum(tested < tested[np.argmax(trained)])
        poor.append(rank / 6.0 <= 0.5)
    assert compute_overfitting_probability(results, blocks=4).probability == pytest.approx(np.mean(poor))


def test_overfitting_is_near_one_half_without_any_edge() -> None:
    rng = np.random.default_rng(5)
    found = [compute_overfitting_probability(rng.standard_normal((60, 9))).probability for _ in range(60)]
    assert np.mean(found) == pytest.approx(0.5, abs=0.1)
    assert compute_overfitting_probability(rng.standard_normal((30, 9))).blocks == 6


def test_overfitting_refuses_what_cannot_be_split() -> None:
    with pytest.raises(InvalidInputError, match="CSCV of 1 variants"):
        compute_overfitting_probability(np.ones((60, 1)))


def test_block_length_follows_the_closed_form_for_an_autoregression() -> None:
    # AR(1) with coefficient a: G = sum |k| g(k) = 2 a / (1 - a)^2 g0, g(0) of the spectrum = (1 + a)/(1 - a) g0, so
    # the best mean length is (2 G^2 / (2 g^2))^(1/3) n^(1/3) with g0 cancelling.
    a, n = 0.6, 4_000
    ratio = (2 * a / (1 - a) ** 2) * (1 - a**2) / ((1 + a) / (1 - a) * (1 - a**2))
    exact = ratio ** (2 / 3) * n ** (1 / 3)
    found = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        x = np.zeros(n)
        noise = rng.standard_normal(n)
        for i in range(1, n):
            x[i] = a * x[i - 1] + noise[i]
        found.append(choose_block_length(x))
    assert np.median(found) == pytest.approx(exact, rel=0.25)


def test_stationary_bootstrap_has_the_promised_blocks() -> None:
    rows = resample_stationary(1_000, block_length=20.0, paths=50, generator=np.random.default_rng(1))
    breaks = np.mean((np.diff(rows, axis=1) % 1_000) != 1)
    assert breaks == pytest.approx(1 / 20 * (1 - 1 / 1_000), rel=0.05)
    assert rows.min() == 0
    assert rows.max() == 999


def test_long_run_variance_of_a_moving_average() -> None:
    # MA(1) x = e + 0.5 e_-1: long-run variance (1 + 0.5)^2
    e = np.random.default_rng(9).standard_normal(200_001)
    assert compute_long_run_variance(e[1:] + 0.5 * e[:-1], lags=60) == pytest.approx(2.25, rel=0.05)


def test_weights_have_the_variance_of_the_mean() -> None:
    # three strata with different means: the shape of the day must not enter the error
    rng = np.random.default_rng(2)
    strata = np.repeat([0, 1, 2], 4)
    values = rng.standard_normal(12) + strata * 100.0
    weights = bootstrap_weights(strata, replicas=40_000, generator=rng)
    exact = sum(4 * np.var(values[strata == s], ddof=1) for s in range(3))
    assert np.var(weights @ values) == pytest.approx(exact, rel=0.05)
