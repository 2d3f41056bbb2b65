"""The quoting fit as a whole: verdicts, errors of gamma, what it refuses, and real ticks."""

from __future__ import annotations

import json
import math
from pathlib import Path

import msgspec
import numpy as np
import pytest

from calibrig import AvellanedaStoikovParameters, Instrument, MarketData, Quotes, Trades, Verdict
from calibrig.calibration.inventory import build_inventory_chain
from calibrig.calibration.judging import combine_gates, fingerprint_market
from calibrig.calibration.quoting import fit_quoting
from calibrig.errors import InvalidTicksError
from calibrig.parameters import GateResult

SECOND = 10**9
DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the real ticks of ../shared/data are not here")


def world(
    seed: int = 0, *, kappa_ticks: float = 0.5, seconds: int = 7_200, heavy: bool = False
) -> MarketData:
    rng = np.random.default_rng(seed)
    same = {
        "sessions": [[0, seconds * SECOND]],
        "instrument": Instrument(symbol="X", tick_size=0.01, lot_size=1.0),
    }
    bid = 9_999 + np.cumsum(rng.integers(-1, 2, seconds))
    one = np.ones(seconds)
    quotes = Quotes(
        time_ns=np.arange(seconds) * SECOND,
        bid_ticks=bid,
        bid_lots=one,
        ask_ticks=bid + 2,
        ask_lots=one,
        **same,
    )
    n = rng.poisson(seconds)
    time = np.sort(rng.integers(1, seconds * SECOND, n))
    side = rng.choice([-1, 1], n)
    reach = rng.exponential(1 / kappa_ticks, n)
    if heavy:
        reach = np.where(rng.random(n) < 0.8, 0.0, 6.0 * reach)
    mid = bid[np.searchsorted(quotes.time_ns, time) - 1] + 1
    price = mid + side * np.maximum(reach.astype(int), 1)
    trades = Trades(
        time_ns=time, price_ticks=price, size_lots=np.full(n, 3), side=side, id=np.arange(n), **same
    )
    return MarketData(trades=trades, quotes=quotes)


def test_a_clean_world_passes_and_round_trips() -> None:
    fit = fit_quoting(world())
    assert fit.verdict is Verdict.PASS, fit.reason
    parameters = fit.parameters
    assert abs(parameters.kappa - 50.0) < 4 * fit.standard_errors["kappa"]
    assert abs(parameters.arrival_rate - 0.5) < 4 * fit.standard_errors["arrival_rate"]
    # steps of -1, 0, 1 tick a second: variance 2/3 tick^2 a second
    truth = math.sqrt(2 / 3) * 0.01
    assert abs(parameters.sigma_abs - truth) < 4 * fit.standard_errors["sigma"] / parameters.sigma * truth
    assert parameters.order_size == 3.0
    assert (
        build_inventory_chain(parameters, limit_orders=10).at_limit
        == fit.inventory.at_limit
        == pytest.approx(0.05, rel=1e-2)
    )
    shown = json.loads(json.dumps(fit.to_dict()))
    assert msgspec.convert(shown["parameters"], AvellanedaStoikovParameters) == parameters
    assert "gamma" in fit.summary()
    assert str(fit.verdict) in fit.summary()


def test_the_error_of_gamma_is_the_spread_over_worlds() -> None:
    fits = [fit_quoting(world(seed, seconds=3_600), replicas=100) for seed in range(12)]
    spread = np.std([math.log(f.parameters.gamma) for f in fits], ddof=1)
    stated = np.median([f.standard_errors["gamma"] / f.parameters.gamma for f in fits])
    assert 0.5 < spread / stated < 1.7


def test_a_large_tick_is_restricted_to_the_touch() -> None:
    fit = fit_quoting(world(kappa_ticks=5.0))
    assert fit.verdict is Verdict.RESTRICTED
    assert fit.parameters.touch_only
    assert fit.evidence.restrictions == ("touch_quoting_only",)
    assert {gate.name: gate.passed for gate in fit.gates}["kappa_precision"] is None


def test_a_reach_that_is_not_exponential_is_restricted() -> None:
    fit = fit_quoting(world(heavy=True))
    assert fit.verdict is Verdict.RESTRICTED
    assert "exponential_reach_misfit" in fit.evidence.restrictions


def test_few_orders_cannot_say() -> None:
    market = world(seconds=1_200)
    cut = MarketData(
        trades=market.trades.between(0, 200 * SECOND),
        quotes=market.quotes,
    )
    assert fit_quoting(cut).verdict is Verdict.TOO_FEW_EVENTS
    empty = MarketData(trades=market.trades.between(0, 1), quotes=market.quotes)
    with pytest.raises(InvalidTicksError, match="0 trades"):
        fit_quoting(empty)


def test_inputs_are_unchanged_and_the_seed_decides() -> None:
    market = world(seconds=1_800)
    before = fingerprint_market(market)
    first, second = fit_quoting(market, seed=3), fit_quoting(market, seed=3)
    assert fingerprint_market(market) == before
    assert first.to_dict() == second.to_dict()
    assert (
        fit_quoting(market, seed=4).standard_errors["kappa"] != first.standard_errors["kappa"]
    )  # bootstrap only
    assert fit_quoting(market, seed=4).parameters.kappa == first.parameters.kappa


def test_verdicts_have_an_order_of_weight() -> None:
    gates = [
        GateResult(name=name, value=1.0, limit="< 0", passed=passed)
        for name, passed in (("soft", False), ("hard", False), ("short", False), ("open", None))
    ]
    rules = {"restricting": {"soft": "no_x"}, "insufficient": {"short": Verdict.TOO_FEW_DAYS}}
    assert combine_gates(gates, **rules)[0] is Verdict.TOO_FEW_DAYS
    assert combine_gates(gates[:2], **rules)[0] is Verdict.FAIL
    assert combine_gates(gates[:1], **rules)[0] is Verdict.RESTRICTED
    assert combine_gates(gates[3:], **rules)[0] is Verdict.PASS


@pytest.mark.data
@needs_data
@pytest.mark.parametrize(
    ("path", "touch_only"),
    [("us_equities_2013/bac", True), ("binance_capture_2024/usdm_btcusdt_20240808.gz", False)],
)
def test_real_ticks_give_a_reasoned_verdict(path: str, touch_only: bool) -> None:
    from calibrig.market import read_market

    fit = fit_quoting(read_market(DATA / path).market)
    assert fit.verdict is Verdict.RESTRICTED
    assert fit.parameters.touch_only is touch_only
    if touch_only:  # methods: 1-minute mids of BAC give 15-21 % a year
        assert 0.15 < fit.parameters.sigma < 0.21
