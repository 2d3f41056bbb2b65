"""Regimes, resampled days, far quantiles, scenarios and the position limit, against what is known exactly."""

from __future__ import annotations

import json
import math

import msgspec
import numpy as np
import pytest
from scipy.stats import genpareto

from calibrig import Instrument, MarketData, Quotes, RiskParameters, Trades, Verdict
from calibrig.calibration.drawdown import estimate_quantile, fit_tail_quantile, measure_drawdowns
from calibrig.calibration.quoting import fit_quoting
from calibrig.calibration.regimes import build_thresholds, fit_regimes
from calibrig.calibration.resampled_days import assemble_days, collect_minutes, draw_days
from calibrig.calibration.risk import _move, fit_risk
from calibrig.calibration.scenarios import SCENARIOS, Scenario, apply_scenario, find_own_events
from calibrig.engine import replay
from calibrig.errors import InvalidInputError, InvalidTicksError
from calibrig.market import simulate_market
from calibrig.models.risk import compute_regime_signal, compute_volatility
from calibrig.parameters import ParameterSet

SECOND = 10**9
X = Instrument(symbol="X", tick_size=0.01, lot_size=1.0)


@pytest.fixture(scope="module")
def market() -> MarketData:
    return simulate_market(seed=5, sessions=3, session_s=3_600.0).market


def quotes_with(volatility: np.ndarray, seed: int = 0, days: int = 1) -> Quotes:
    """One quote a second; ``volatility`` ticks per sqrt second by second of the day."""
    rng = np.random.default_rng(seed)
    n = len(volatility)
    mids, times, sessions = [], [], []
    for day in range(days):
        start = day * 86_400 * SECOND
        mids.append(1_000_000 + np.cumsum(rng.standard_normal(n) * volatility))
        times.append(start + np.arange(n) * SECOND)
        sessions.append((start, start + n * SECOND))
    bid = np.rint(np.concatenate(mids)).astype(np.int64)
    return Quotes(
        time_ns=np.concatenate(times),
        bid_ticks=bid,
        bid_lots=np.full(len(bid), 5),
        ask_ticks=bid + 2,
        ask_lots=np.full(len(bid), 5),
        sessions=np.array(sessions),
        instrument=X,
    )


def test_thresholds_are_the_quantiles_of_the_signal_the_engine_uses() -> None:
    rng = np.random.default_rng(2)
    level = np.exp(np.repeat(rng.normal(0, 0.6, 40), 600))  # a new level of volatility each ten minutes
    quotes = quotes_with(20.0 * level, days=2)
    fit = fit_regimes(quotes)
    path = compute_volatility(quotes.time_ns, quotes.mid_ticks(), quotes.sessions)
    z = compute_regime_signal(path, quotes.sessions, fit.medians)
    z = z[np.isfinite(z)]
    assert fit.thresholds == pytest.approx(np.quantile(z, (0.95, 0.99, 0.999)), rel=1e-12)
    assert np.median(z) == pytest.approx(1.0, abs=0.1)
    assert fit.changes < fit.changes_without_hysteresis


def test_the_shape_of_the_day_is_not_stress() -> None:
    shape = 20.0 * (1.0 + 2.0 * np.abs(np.linspace(-1, 1, 13 * 900)))  # three times as wild at the ends
    several, one = fit_regimes(quotes_with(shape, days=5)), fit_regimes(quotes_with(shape, days=1))
    assert several.quantiles[0] < 1.3  # the medians take the shape out
    assert one.quantiles[0] > 1.35  # one day cannot tell its shape from its volatility
    assert len(several.medians) == 13
    assert len(one.medians) == 1


def test_constant_volatility_stays_normal() -> None:
    fit = fit_regimes(quotes_with(np.full(20_000, 30.0), days=3))
    assert fit.thresholds == (1.25, 1.5, 1.8)
    assert fit.time_share[0] > 0.9
    with pytest.raises(InvalidTicksError, match="longer"):
        fit_regimes(quotes_with(np.full(70, 30.0)))


def test_days_in_their_own_order_are_the_real_days(market: MarketData) -> None:
    minutes = collect_minutes(market)
    own = np.stack([np.flatnonzero(minutes.day == d) for d in np.unique(minutes.day)])
    rebuilt = assemble_days(minutes, own)
    for day, (_, end) in enumerate(market.sessions):
        grid = end - (len(own[0]) - np.arange(len(own[0]))) * 60 * SECOND
        at = np.searchsorted(market.quotes.time_ns, grid, side="right") - 1
        real = market.quotes.mid_ticks()[at]
        new_start = rebuilt.sessions[day, 0] + np.arange(len(own[0])) * 60 * SECOND
        new = rebuilt.quotes.mid_ticks()[np.searchsorted(rebuilt.quotes.time_ns, new_start)]
        assert new == pytest.approx(real, abs=1.0)
    whole = sum(
        int(market.trades.between(end - len(own[0]) * 60 * SECOND, end).size_lots.sum())
        for _, end in market.sessions
    )
    assert int(rebuilt.trades.size_lots.sum()) == pytest.approx(whole, rel=1e-3)


def test_resampled_days_keep_the_moves_of_their_day(market: MarketData) -> None:
    minutes = collect_minutes(market)
    rows, day = draw_days(minutes, days=60, block_minutes=10.0, generator=np.random.default_rng(1))
    assert np.array_equal(minutes.day[rows], np.repeat(day[:, None], rows.shape[1], axis=1))
    new = assemble_days(minutes, rows)
    move = (minutes.end_twice_mid - minutes.start_twice_mid)[rows]
    starts = np.searchsorted(new.quotes.time_ns, new.sessions[:, 0])
    mid = new.quotes.mid_ticks()
    for k in range(60):  # the price at the last minute is the opening plus every move before it, to a tick
        last = starts[k] + (rows.shape[1] - 1) * minutes.cells
        assert mid[last] - mid[starts[k]] == pytest.approx(move[k, :-1].sum() / 2, abs=1.0)
    assert np.all(new.quotes.ask_ticks > new.quotes.bid_ticks)


def test_far_quantile_and_its_interval() -> None:
    exact = float(genpareto.ppf(0.999, 0.2))
    covered, tails = 0, []
    for seed in range(12):
        losses = genpareto.rvs(0.2, size=10_000, random_state=seed)
        found = estimate_quantile(losses, np.arange(10_000) % 50, replicas=100, seed=seed)
        covered += found.tail_lower < exact < found.tail_upper
        tails.append(fit_tail_quantile(losses, level=0.999))
        assert found.bound >= found.upper
    assert covered >= 9
    assert np.mean(tails) == pytest.approx(exact, rel=0.1)


def test_few_days_widen_the_interval() -> None:
    rng = np.random.default_rng(0)
    day = np.arange(3_000) % 3
    losses = rng.exponential(1.0, 3_000) * np.array([1.0, 2.0, 4.0])[day]  # days differ
    by_days = estimate_quantile(losses, day)
    as_one = estimate_quantile(losses, np.zeros(3_000, np.int64))
    assert by_days.tail_upper - by_days.tail_lower > 1.5 * (as_one.tail_upper - as_one.tail_lower)
    with pytest.raises(InvalidInputError, match="at least 100"):
        estimate_quantile(losses[:50], day[:50])


def test_scenarios_bend_ticks_as_said(market: MarketData) -> None:
    shape = Scenario(
        name="test",
        drop=0.1,
        minutes=10.0,
        recovery=0.5,
        spread_multiple=4.0,
        depth_share=0.25,
        halt_minutes=5.0,
    )
    bent = apply_scenario(market, shape)
    start, end = market.sessions[-1]
    fall = start + (end - start) // 3
    bottom = fall + 600 * SECOND
    before = market.quotes.between(start, fall)
    after = bent.quotes.between(start, fall)
    assert np.array_equal(before.bid_ticks, after.bid_ticks)
    wild = bent.quotes.between(fall, bottom)
    real = market.quotes.between(fall, bottom)
    factor = wild.mid_ticks() / real.mid_ticks()
    exact = 1.0 - 0.1 * (real.time_ns - fall) / (600 * SECOND)
    assert factor == pytest.approx(exact, abs=1e-3)
    spread = (wild.ask_ticks - wild.bid_ticks) / (real.ask_ticks - real.bid_ticks)
    assert spread == pytest.approx(np.full(len(spread), 4.0), abs=0.2)
    assert np.all(bent.trades.between(fall, bottom).side == -1)
    assert len(bent.quotes.between(bottom, bottom + 300 * SECOND)) == 0  # the halt
    last = bent.quotes.between(bottom + 1_201 * SECOND, end)
    assert last.mid_ticks() == pytest.approx(
        0.95 * market.quotes.between(bottom + 1_201 * SECOND, end).mid_ticks(), rel=1e-3
    )
    assert shape.scaled(2.0).drop == 0.2
    assert shape.scaled(0.5).depth_share == 0.5


def test_a_crash_costs_about_position_times_fall(market: MarketData) -> None:
    quoting = fit_quoting(market).parameters
    calm = RiskParameters(  # regimes off: the position is held through the fall
        max_position=20,
        normal_volatility_threshold=1e6,
        elevated_volatility_threshold=2e6,
        high_stress_volatility_threshold=3e6,
    )
    crash = apply_scenario(market, Scenario(name="test", drop=0.1, minutes=10.0))
    run = replay(crash, ParameterSet(symbol="SIM", quoting=quoting, risk=calm))
    full = 20 * 0.1 * quoting.reference_price
    assert 0.3 * full < run.sessions["max_drawdown"][0] < 1.3 * full


def test_own_events_are_the_largest_moves(market: MarketData) -> None:
    events = find_own_events(market.quotes)
    assert {event.name.split()[2] for event in events} == {"fall", "rise"}
    assert all(0.0 < abs(event.drop) < 0.05 for event in events)


def test_the_limit_survives_and_a_smaller_budget_lowers_it(market: MarketData) -> None:
    quoting = fit_quoting(market)
    fits = {
        budget: fit_risk(market, quoting, loss_budget=budget, paths=120, scenarios=SCENARIOS[:2])
        for budget in (20.0, 200.0)
    }
    assert 0 < fits[20.0].parameters.max_position < fits[200.0].parameters.max_position
    for budget, fit in fits.items():
        assert fit.verdict is Verdict.TOO_FEW_DAYS
        assert "scenarios bind" in fit.reason
        assert fit.preliminary
        assert "PRELIMINARY" in fit.summary()
        assert max(s.full for s in fit.scenarios) <= budget
        assert fit.drawdown.bound <= budget
        assert fit.parameters.max_position == min(fit.limit_by_bootstrap, fit.limit_by_scenarios)
        shown = json.loads(json.dumps(fit.to_dict()))
        assert msgspec.convert(shown["parameters"], RiskParameters) == fit.parameters


def test_nothing_survives_a_budget_of_a_cent(market: MarketData) -> None:
    fit = fit_risk(market, fit_quoting(market), loss_budget=0.01, paths=100, scenarios=SCENARIOS[:1])
    assert fit.parameters.max_position == 0
    assert {gate.name: gate.passed for gate in fit.gates}["position_limit"] is False


def test_common_random_numbers_make_the_limit_repeatable(market: MarketData) -> None:
    minutes = collect_minutes(market)
    quoting = fit_quoting(market).parameters
    thresholds = build_thresholds((1.25, 1.5, 1.8), (), half_life_s=300.0, sample_s=5.0, max_position=20)
    parameters = ParameterSet(symbol="SIM", quoting=quoting, risk=thresholds)
    first, second = (
        measure_drawdowns(minutes, parameters, days=100, block_minutes=20.0, threads=threads)[0]
        for threads in (1, 2)
    )
    assert np.array_equal(first, second)
    assert len(first) == 100
    assert math.isfinite(first.max())


def test_trades_never_lead_their_book() -> None:
    quotes = quotes_with(np.full(300, 5.0))
    trades = Trades(
        time_ns=[61 * SECOND, 62 * SECOND],
        price_ticks=[1_000_002, 1_000_000],
        size_lots=[3, 4],
        side=[1, -1],
        id=[1, 2],
        sessions=quotes.sessions,
        instrument=X,
    )
    minutes = collect_minutes(MarketData(trades=trades, quotes=quotes))
    assert minutes.trade_lots[1, 0].tolist() == [3, 4]
    assert minutes.trade_lots.sum() == 7
    again = assemble_days(minutes, np.array([[1, 1, 1]]))
    assert again.trades.size_lots.tolist() == [3, 4] * 3
    assert np.all(np.diff(again.trades.time_ns) > 0)


def test_many_days_are_judged_around_the_limit_that_few_find() -> None:
    """Every way through the candidates ends at the largest that holds, wherever the first look pointed."""
    candidates = [100, 71, 50, 35, 25]
    for truth in (0, 25, 50, 100):
        for start in (0, *candidates):
            asked: list[int] = []

            def holds(limit: int, truth: int = truth, asked: list[int] = asked) -> bool:
                asked.append(limit)
                return limit <= truth

            assert _move(candidates, start, holds) == truth
            assert len(set(asked)) == len(asked)  # no candidate is paid for twice


def test_more_paths_than_the_first_look_give_their_number(market: MarketData) -> None:
    fit = fit_risk(market, fit_quoting(market), paths=1_200, scenarios=SCENARIOS[:1])
    assert fit.drawdown.paths == 1_200
    assert fit.drawdown.bound <= fit.loss_budget
    assert fit.parameters.max_position == min(fit.limit_by_bootstrap, fit.limit_by_scenarios)
