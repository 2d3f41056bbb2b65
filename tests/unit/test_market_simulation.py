"""The simulated market: what is read off its ticks agrees with its truth."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from calibrig import HawkesParameters
from calibrig.errors import InvalidInputError, InvalidParametersError
from calibrig.market import (
    MarketData,
    Quotes,
    SimulatedMarket,
    assess_child_fills,
    compute_fingerprint,
    merge_child_fills,
    sign_trades,
    simulate_market,
)
from calibrig.market.simulated_truth import _clipped_share, _expected_rate

SEEDS = (11, 12, 13, 14)


@pytest.fixture(scope="module")
def markets() -> list[SimulatedMarket]:
    return [simulate_market(seed=seed) for seed in SEEDS]


def mids_at(quotes: Quotes, time_ns: np.ndarray) -> np.ndarray:
    return quotes.mid_ticks()[np.searchsorted(quotes.time_ns, time_ns, side="right") - 1]


def minute_returns(market: MarketData) -> np.ndarray:
    grids = [np.arange(a, b, 60 * 10**9) for a, b in market.sessions]
    return np.concatenate([np.diff(np.log(mids_at(market.quotes, grid))) for grid in grids])


def test_realised_volatility_of_the_mid_is_the_truth(markets: list[SimulatedMarket]) -> None:
    squares = np.concatenate([minute_returns(m.market) ** 2 for m in markets])
    variance = squares / 60.0 * markets[0].market.instrument.seconds_per_year
    error = variance.std() / np.sqrt(len(variance))
    assert abs(variance.mean() - markets[0].truth.sigma ** 2) < 3.0 * error
    assert error < 0.04 * markets[0].truth.sigma ** 2  # the check has power


def test_reach_seen_through_the_grid_gives_kappa(markets: list[SimulatedMarket]) -> None:
    # share of orders that reach at least k ticks beyond the touch is exp(-kappa (half-spread + k) tick)
    for m in markets:
        trades, quotes = m.market.trades, m.market.quotes
        row = np.searchsorted(quotes.time_ns, trades.time_ns, side="left") - 1
        touch = np.where(trades.side > 0, quotes.ask_ticks[row], quotes.bid_ticks[row])
        beyond = trades.side * (trades.price_ticks - touch)
        assert beyond.min() == 0
        half = 0.5 * (quotes.ask_ticks - quotes.bid_ticks)[row]
        for k in (1, 3, 10):
            expected = float(np.mean(np.exp(-m.truth.kappa * (half + k) * 0.01)))
            assert abs(np.mean(beyond >= k) - expected) < 4.0 * np.sqrt(expected / len(trades))


def test_orders_arrive_at_the_expected_rate(markets: list[SimulatedMarket]) -> None:
    counts = np.array(
        [
            np.diff(np.searchsorted(m.market.trades.time_ns, span))[0]
            for m in markets
            for span in m.market.sessions
        ]
    )
    rate = counts / 2.0 / 7_200.0
    assert abs(rate.mean() - markets[0].truth.arrival_rate) < 3.5 * rate.std() / np.sqrt(len(rate))


def test_depth_imbalance_predicts_the_mid_as_planted(markets: list[SimulatedMarket]) -> None:
    slopes, shares = [], []
    for m in markets:
        quotes, h = m.market.quotes, round(m.truth.signal_horizon_s * 1e9)
        session = np.searchsorted(m.market.sessions[:, 0], quotes.time_ns, side="right") - 1
        rows = np.flatnonzero(quotes.time_ns + h < m.market.sessions[session, 1])
        imbalance = ((quotes.bid_lots - quotes.ask_lots) / (quotes.bid_lots + quotes.ask_lots))[rows]
        move = mids_at(quotes, quotes.time_ns[rows] + h) - quotes.mid_ticks()[rows]
        c = np.cov(imbalance, move)
        slopes.append(c[0, 1] / c[0, 0])
        shares.append(c[0, 1] ** 2 / c[0, 0] / c[1, 1])
    # the spread of the slope over 60 seeds is 6 %, of R^2 12 %
    truth = markets[0].truth
    assert abs(np.mean(slopes) / truth.signal_coefficient_ticks - 1.0) < 3.5 * 0.06 / np.sqrt(len(SEEDS))
    assert abs(np.mean(shares) / truth.signal_r_squared - 1.0) < 3.5 * 0.12 / np.sqrt(len(SEEDS))


def test_no_planted_signal_leaves_none() -> None:
    truth = simulate_market(seed=3, sessions=1, session_s=600.0, signal_r_squared=0.0).truth
    assert truth.signal_coefficient_ticks == truth.signal_r_squared == 0.0
    assert truth.sigma_diffusion == pytest.approx(truth.sigma, rel=1e-12)


@pytest.mark.parametrize("s", [0.2, 0.7, 2.0])
def test_clipped_share_against_simulation(s: float) -> None:
    rng = np.random.default_rng(5)
    x = rng.standard_normal(400_000)
    y = np.sqrt(0.03) * x + np.sqrt(0.97) * rng.standard_normal(len(x))
    plain = np.corrcoef(x, y)[0, 1] ** 2
    clipped = np.corrcoef(x, np.clip(s * y, -1.0, 1.0))[0, 1] ** 2
    assert clipped / plain == pytest.approx(_clipped_share(s), rel=0.03)


def test_expected_rate_has_its_limits() -> None:
    # no excitation: the mean of the profile; excitation: the first order of a short session is mu (1 + n F)
    poisson = HawkesParameters(
        alpha_self=0.0, alpha_cross=0.0, beta=0.5, gamma=2.0, lambda_base=2.0, profile=(0.5, 1.5)
    )
    assert _expected_rate(poisson, 7_200.0) == pytest.approx(2.0, rel=1e-12)
    p = HawkesParameters(alpha_self=0.3, alpha_cross=0.1, beta=0.5, gamma=2.0, lambda_base=1.0)
    assert _expected_rate(p, 86_400.0) == pytest.approx(5.0, rel=2e-3)
    assert _expected_rate(p, 86_400.0) < 5.0
    assert _expected_rate(p, 0.01) == pytest.approx(1.0 + 0.8 * 0.01 / 0.5 / 2.0, rel=1e-3)


def test_seed_decides_everything() -> None:
    def one(seed: int) -> str:
        return compute_fingerprint(simulate_market(seed=seed, sessions=1, session_s=300.0).market)

    assert one(1) == one(1)
    assert one(1) != one(2)


def test_child_fills_share_id_and_stamp_and_merge_back() -> None:
    whole = simulate_market(seed=9, sessions=2, session_s=900.0)
    split = simulate_market(seed=9, sessions=2, session_s=900.0, child_fills=True)
    assert len(split.market.trades) > 1.5 * len(whole.market.trades)
    assert assess_child_fills(split.market.trades).rule == "id"
    for rule in ("auto", "id", "stamp"):
        merged = merge_child_fills(split.market.trades, rule=rule)
        assert compute_fingerprint(
            MarketData(trades=merged, quotes=whole.market.quotes)
        ) == compute_fingerprint(whole.market)


def test_lee_ready_signs_the_simulated_orders_rightly() -> None:
    market = simulate_market(seed=4, sessions=1, session_s=900.0).market
    trades = market.trades
    blank = replace(trades, side=np.zeros(len(trades)))
    assert np.array_equal(sign_trades(blank, market.quotes).side, trades.side)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sessions": 0}, "sessions is 0"),
        ({"session_s": 1.0}, "session_s is 1.0"),
        ({"kappa": -1.0}, "kappa is -1.0"),
        ({"volatility": float("nan")}, "volatility is nan"),
        ({"signal_r_squared": 0.5}, "at most 0.2"),
    ],
)
def test_arguments_outside_their_domain_are_refused(arguments: dict[str, float], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        simulate_market(seed=1, **arguments)  # type: ignore[arg-type]


def test_a_predictor_that_would_be_the_whole_volatility_is_refused() -> None:
    # depth that changes at once explains at most 1 / (2 theta h) = 2 %
    with pytest.raises(InvalidParametersError, match="lower signal_decay_rate"):
        simulate_market(seed=1, signal_r_squared=0.1, signal_horizon_s=5.0, signal_decay_rate=5.0)


def test_truth_and_market_are_ready_for_json() -> None:
    truth = simulate_market(seed=1, sessions=1, session_s=60.0).truth
    assert json.loads(json.dumps(truth.to_dict()))["hawkes"]["beta"] == 0.5
