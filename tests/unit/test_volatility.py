"""Volatility: closed forms, known truth, and the cases in which one number misleads."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from calibrig import Instrument, Quotes
from calibrig.calibration.volatility import estimate_volatility, sample_mid
from calibrig.errors import InvalidTicksError

EQUITY = Instrument(symbol="X", tick_size=0.01, lot_size=1.0, seconds_per_year=5_896_800.0)
SECOND = 10**9


def quotes_of(days: list[NDArray[np.float64]], *, gap_s: int = 86_400) -> Quotes:
    """One quote a second, one tick wide, around each day's mid in ticks."""
    times, bids, sessions = [], [], []
    for day, mid in enumerate(days):
        start = day * gap_s * SECOND
        times.append(start + np.arange(len(mid)) * SECOND)
        bids.append(np.floor(mid).astype(np.int64))
        sessions.append((start, start + len(mid) * SECOND))
    bid = np.concatenate(bids)
    return Quotes(
        time_ns=np.concatenate(times),
        bid_ticks=bid,
        bid_lots=np.ones_like(bid),
        ask_ticks=bid + 1,
        ask_lots=np.ones_like(bid),
        sessions=np.array(sessions),
        instrument=EQUITY,
    )


def brownian_days(rng: np.random.Generator, days: int, sigma: float = 0.3) -> list[NDArray[np.float64]]:
    step = sigma / math.sqrt(EQUITY.seconds_per_year)
    return [5_000.0 * np.exp(np.cumsum(rng.standard_normal(23_400)) * step) for _ in range(days)]


def test_realised_variance_is_its_definition() -> None:
    day = 1_000.0 + np.repeat([0, 3, 1, 5, 5, 2, 8], 60).astype(np.float64)
    mid = np.array([0, 3, 1, 5, 5, 2, 8, 8]) + 1_000.5  # the grid includes the session's last instant
    exact = math.sqrt(float(np.sum(np.diff(np.log(mid)) ** 2)) / 420.0 * EQUITY.seconds_per_year)
    assert estimate_volatility(quotes_of([day])).sigma == pytest.approx(exact, rel=1e-12)


def test_all_four_estimators_find_the_truth() -> None:
    z = []
    for seed in range(12):
        fit = estimate_volatility(quotes_of(brownian_days(np.random.default_rng(seed), 2)))
        assert not fit.degraded
        z.append(
            [
                (fit.sigma - 0.3) / fit.sigma_error,
                (fit.bipower - 0.3) / fit.bipower_error,
                (fit.two_scale - 0.3) / fit.two_scale_error,
                (fit.kernel - 0.3) / fit.kernel_error,
            ]
        )
    assert np.all(
        np.abs(np.mean(z, axis=0)) < 3 / math.sqrt(12) + 0.3
    )  # 0.3: tick rounding in 1-minute returns
    assert np.all(np.std(z, axis=0) < 1.9)


def test_the_night_is_not_a_return() -> None:
    days = brownian_days(np.random.default_rng(1), 3)
    days[1], days[2] = days[1] * 1.2, days[2] * 0.7
    assert estimate_volatility(quotes_of(days)).sigma == pytest.approx(0.3, rel=0.08)


def test_a_bouncing_mid_is_marked_degraded() -> None:
    rng = np.random.default_rng(2)
    day = brownian_days(rng, 1)[0] + rng.choice([-8.0, 8.0], 23_400)
    fit = estimate_volatility(quotes_of([day]))
    assert fit.degraded
    assert fit.sigma > 0.4  # realised variance takes the bounce for volatility
    assert fit.two_scale == pytest.approx(0.3, rel=0.3)


def test_jumps_show_in_the_share() -> None:
    day = brownian_days(np.random.default_rng(3), 1)[0]
    day[12_345:] *= 1.03
    fit = estimate_volatility(quotes_of([day]))
    exact = 0.03**2 / (0.03**2 + 0.3**2 / 252)
    assert fit.jump_share == pytest.approx(exact, abs=0.12)


def test_too_little_data_is_refused() -> None:
    with pytest.raises(InvalidTicksError, match="at least 5"):
        estimate_volatility(quotes_of([np.full(200, 100.0)]))
    with pytest.raises(InvalidTicksError, match="never moves"):
        estimate_volatility(quotes_of([np.full(2_000, 100.0)]))


def test_one_sided_quotes_are_left_out() -> None:
    quotes = Quotes(
        time_ns=[0, SECOND, 2 * SECOND],
        bid_ticks=[0, 99, 99],
        bid_lots=[0, 1, 1],
        ask_ticks=[101, 101, 98],
        ask_lots=[1, 1, 1],
        sessions=[[0, 3 * SECOND]],
        instrument=EQUITY,
    )
    assert [m.tolist() for m in sample_mid(quotes, sample_s=1.0)] == [[100.0, 100.0, 100.0]]
