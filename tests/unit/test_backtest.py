"""The backtest and the walk forward: what was run is what is reported, and nothing is fitted on what is traded."""

from __future__ import annotations

import json
from dataclasses import replace

import msgspec
import numpy as np
import pytest

from calibrig import MarketData, ParameterSet, Verdict
from calibrig.bridge import AcceleratorMode, HardwareInTheLoopBridge
from calibrig.calibration.backtest import BacktestResult, backtest, split_market
from calibrig.calibration.signal import fit_signal
from calibrig.calibration.walk_forward import fit_parameters, walk_forward
from calibrig.engine import replay
from calibrig.errors import InvalidInputError
from calibrig.market import simulate_market
from calibrig.market.simulation import DEFAULT_FLOW


@pytest.fixture(scope="module")
def market() -> MarketData:
    return simulate_market(seed=3, sessions=6, session_s=1_800.0).market


@pytest.fixture(scope="module")
def result(market: MarketData) -> BacktestResult:
    train, test = split_market(market, holdout=0.5)
    return backtest(test, fit_parameters(train))


def test_days_are_the_sessions_of_the_replay(result: BacktestResult, market: MarketData) -> None:
    run = replay(split_market(market, holdout=0.5)[1], result.parameters)
    assert run.digest() == result.replay.digest()
    assert np.array_equal(result.daily_pnl, run.sessions["pnl"])
    assert result.pnl == pytest.approx(run.pnl)
    assert len(result.days) == 3


def test_conditions_fill_models_and_trials_are_what_they_say(
    result: BacktestResult, market: MarketData
) -> None:
    test = split_market(market, holdout=0.5)[1]
    slow = replay(test, result.parameters, order_latency_ns=100_000, response_latency_ns=100_000)
    assert result.conditions["doubled_latency"] == pytest.approx(slow.pnl)
    through = replay(test, result.parameters, fill_model="through")
    assert result.fill_models["through"] == pytest.approx(through.pnl)
    quoting = result.parameters.quoting
    assert quoting is not None
    doubled = msgspec.structs.replace(quoting, gamma=2.0 * quoting.gamma)
    trial = replay(test, msgspec.structs.replace(result.parameters, quoting=doubled))
    assert [t.pnl for t in result.gamma_curve if t.gamma == doubled.gamma] == [pytest.approx(trial.pnl)]
    assert result.profit.trials == len(result.gamma_curve) == 5


def test_few_days_are_named_and_everything_is_shown(result: BacktestResult) -> None:
    assert result.verdict is Verdict.TOO_FEW_DAYS
    shown = json.loads(json.dumps(result.to_dict()))
    assert shown["fill_model"] == "conservative"
    assert len(shown["daily_pnl"]) == 3
    text = result.summary()
    assert "fill model conservative" in text
    assert "TOO_FEW_DAYS" in text
    quoting = result.parameters.quoting
    assert quoting is not None
    filled = result.fill_in(quoting)
    assert filled.backtest_pnl == result.pnl
    assert filled.backtest_sharpe == result.sharpe


def test_a_rebate_is_taken_away(market: MarketData) -> None:
    train, test = split_market(market)
    parameters = fit_parameters(train)
    generous = msgspec.structs.replace(market.instrument, maker_fee=-0.0005)
    paid = MarketData(
        trades=with_instrument(test.trades, generous), quotes=with_instrument(test.quotes, generous)
    )
    judged = backtest(paid, parameters, gamma_multiples=(1.0,), scenarios=())
    assert judged.conditions["zero_rebate"] < judged.conditions["conservative"]
    assert judged.conditions["zero_rebate"] == pytest.approx(replay(test, parameters).pnl)


def with_instrument(table, instrument):  # type: ignore[no-untyped-def]
    return replace(table, instrument=instrument)


def test_the_bridge_makes_the_signal_in_every_run(market: MarketData) -> None:
    train, test = split_market(market)
    signal = fit_signal(train, hawkes=DEFAULT_FLOW, horizon_s=5.0, controls=5, replicas=50)
    base = fit_parameters(train)
    parameters = msgspec.structs.replace(base, hawkes=DEFAULT_FLOW, signal=signal.parameters)
    with HardwareInTheLoopBridge(AcceleratorMode.SOFTWARE_STUB, model=signal.parameters) as bridge:
        bridge.initialize()
        with_signal = backtest(test, parameters, bridge, gamma_multiples=(1.0,), scenarios=())
        calls = bridge.get_latency_stats().count
    assert calls > 1_000
    assert (
        with_signal.replay.digest()
        != backtest(test, base, gamma_multiples=(1.0,), scenarios=()).replay.digest()
    )


def test_enough_days_get_a_judgement_of_their_own() -> None:
    market = simulate_market(seed=2, sessions=66, session_s=120.0).market
    train, test = split_market(market, holdout=0.92)
    judged = backtest(test, fit_parameters(train), scenarios=(), gamma_multiples=(0.5, 1.0))
    assert len(judged.daily_pnl) >= 60
    assert judged.profit.overfitting is not None
    # spread of 18 ticks and no informed flow: quoting inside it earns every day, so only own fills are missing
    assert judged.verdict is Verdict.RESTRICTED, judged.reason
    assert judged.evidence.restrictions == ("paper_or_minimum_size",)
    turned = MarketData(trades=_informed(test), quotes=test.quotes)
    losing = backtest(turned, judged.parameters, scenarios=(), gamma_multiples=(1.0,))
    assert losing.pnl < judged.pnl


def _informed(market: MarketData):  # type: ignore[no-untyped-def]
    """Every order trades in the direction of the next ten seconds' move."""
    trades, quotes = market.trades, market.quotes
    mid = quotes.mid_ticks()
    now = np.searchsorted(quotes.time_ns, trades.time_ns) - 1
    later = np.searchsorted(quotes.time_ns, trades.time_ns + 10**10) - 1
    side = np.where(mid[later] >= mid[now], 1, -1)
    price = np.where(side > 0, quotes.ask_ticks[now], quotes.bid_ticks[now])
    return replace(trades, side=side.astype(np.int8), price_ticks=price)


def test_missing_parameters_are_refused(market: MarketData) -> None:
    with pytest.raises(InvalidInputError, match="lack quoting or risk"):
        backtest(market, ParameterSet(symbol="SIM"))


def test_walk_forward_never_fits_what_it_trades(market: MarketData) -> None:
    seen: list[tuple[int, int]] = []

    def spy(train: MarketData) -> ParameterSet:
        seen.append((int(train.quotes.time_ns[0]), int(train.quotes.time_ns[-1])))
        return fit_parameters(train)

    walk = walk_forward(market, window_sessions=3, purge_s=300.0, fit=spy)
    assert len(walk.folds) == 3
    for (first, last), fold in zip(seen, walk.folds, strict=True):
        assert first >= fold.train_start_ns
        previous_end = market.sessions[market.sessions[:, 0] < fold.test_start_ns][-1, 1]
        assert last < previous_end - 300 * 10**9 + 1
        assert fold.train_end_ns == previous_end - 300 * 10**9
        run = replay(market.between(fold.test_start_ns, fold.test_end_ns), fold.parameters)
        assert fold.pnl == pytest.approx(run.pnl)
    assert walk.profit.verdict is Verdict.TOO_FEW_DAYS
    assert np.array_equal(walk.daily_pnl, [fold.pnl for fold in walk.folds])


def test_impossible_walks_are_refused(market: MarketData) -> None:
    with pytest.raises(InvalidInputError, match="one session more"):
        walk_forward(market, window_sessions=6)
    with pytest.raises(InvalidInputError, match="takes a whole session"):
        walk_forward(market, window_sessions=1, purge_s=1e5)
    with pytest.raises(InvalidInputError, match="between 0 and 1"):
        split_market(market, holdout=1.0)
