"""Volatility path and regime machine against written-out cases."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calibrig.errors import InvalidInputError
from calibrig.models.risk import (
    Regime,
    VolatilityPath,
    compute_regime_signal,
    compute_regimes,
    compute_volatility,
    regime_multipliers,
)
from calibrig.parameters import RiskParameters

S = 10**9
P = RiskParameters(
    max_position=10,
    normal_volatility_threshold=2.0,
    elevated_volatility_threshold=3.0,
    high_stress_volatility_threshold=5.0,
    hysteresis_s=10.0,
    halt_s=30.0,
)


def regimes(z: list[float], step_s: int = 5) -> list[int]:
    return compute_regimes(np.arange(len(z)) * step_s * S, np.array(z), P).tolist()


def test_up_at_once_over_several_levels() -> None:
    assert regimes([1.0, 4.0, 6.0]) == [0, 2, 3]


def test_down_one_level_at_a_time_after_a_calm_stretch() -> None:
    # HIGH_STRESS is left below 0.8 * 3 for 10 s, ELEVATED below 0.8 * 2 for 10 s more
    assert regimes([4.0, 1.0, 1.0, 1.0, 1.0, 1.0]) == [2, 2, 2, 1, 1, 0]


def test_a_value_between_keeps_the_level_and_restarts_the_calm_stretch() -> None:
    assert regimes([2.5, 1.5, 1.9, 1.5, 1.5, 1.5]) == [1, 1, 1, 1, 1, 0]


def test_a_halt_by_volatility_ends_by_the_clock_at_high_stress() -> None:
    assert regimes([6.0] + [1.0] * 9)[:8] == [3, 3, 3, 3, 3, 3, 2, 2]
    assert regimes([6.0] * 3 + [1.0] * 7)[8] == 2  # the clock starts at the last z above the threshold
    assert regimes([6.0] * 3 + [1.0] * 7)[7] == 3


def test_unknown_volatility_keeps_the_level() -> None:
    assert regimes([2.5, math.nan, math.nan, math.nan]) == [1, 1, 1, 1]


@given(z=st.lists(st.floats(0, 8), max_size=200))
def test_level_is_never_below_the_thresholds_and_falls_one_at_a_time(z: list[float]) -> None:
    levels = regimes(z)
    for value, level in zip(z, levels, strict=True):
        if level < Regime.HALTED:
            assert value < (2.0, 3.0, 5.0)[level]
    assert all(after >= before - 1 for before, after in itertools.pairwise(levels))


def test_volatility_is_the_weighted_root_mean_square_of_sampled_returns() -> None:
    rng = np.random.default_rng(4)
    time_ns = np.sort(rng.integers(0, 1_000 * S, 5_000))
    mid = 100.0 * np.exp(np.cumsum(rng.normal(0, 1e-4, 5_000)))
    sessions = np.array([[0, 1_000 * S]])
    path = compute_volatility(time_ns, mid, sessions, half_life_s=60.0, sample_s=5.0)
    # slow and independent: every grid time anew, weights written out
    row = 150
    now = int(path.time_ns[row])
    grid = np.arange(now, 0, -5 * S)
    sampled = [mid[time_ns < t][-1] for t in grid if np.any(time_ns < t)]
    returns = np.array([a / b - 1.0 for a, b in itertools.pairwise(sampled)])
    weights = 2.0 ** (-np.arange(len(returns)) * 5.0 / 60.0)
    expected = math.sqrt(np.sum(weights * returns**2 / 5.0) / np.sum(weights))
    assert path.volatility[row] == pytest.approx(expected, rel=1e-12)
    assert np.all(np.isnan(path.volatility[:12]))
    assert not np.any(np.isnan(path.volatility[12:]))


def test_sessions_do_not_leak_into_each_other() -> None:
    time_ns = np.concatenate([np.arange(0, 500, 5), 10_000 + np.arange(0, 500, 5)]) * S + 1
    mid = np.concatenate([np.full(100, 100.0), np.full(100, 200.0)])  # an overnight jump and nothing else
    sessions = np.array([[0, 500 * S], [10_000 * S, 10_500 * S]])
    path = compute_volatility(time_ns, mid, sessions)
    assert set(path.session.tolist()) == {0, 1}
    assert np.nanmax(path.volatility) == 0.0


def test_signal_without_medians_needs_a_typical_volatility() -> None:
    path = VolatilityPath(np.array([1]), np.array([2.0]), np.array([0]))
    assert compute_regime_signal(path, np.array([[0, 2]]), (), fallback=0.5).tolist() == [4.0]
    with pytest.raises(InvalidInputError, match="fit the risk parameters"):
        compute_regime_signal(path, np.array([[0, 2]]), ())


def test_multipliers_follow_the_regimes() -> None:
    assert regime_multipliers(P)[Regime.HIGH_STRESS] == 0.4
    assert len(regime_multipliers(P)) == len(Regime)
