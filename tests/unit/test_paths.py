"""Resampled days: the ticks follow the steps, the engine is the real one, numbers do not depend on threads."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from calibrig._native import engine as native
from calibrig.engine import PathSteps, measure_steps, replay, replay_paths
from calibrig.errors import InvalidInputError, InvalidTicksError
from calibrig.market import MarketData, Quotes, Trades
from calibrig.parameters import AvellanedaStoikovParameters, Instrument, ParameterSet, RiskParameters

S = 10**9
X = Instrument(symbol="X", tick_size=0.01, lot_size=1.0, maker_fee=0.00001, taker_fee=0.0002)
QUOTING = AvellanedaStoikovParameters(
    gamma=0.005,
    sigma=0.3,
    kappa=80.0,
    time_horizon_seconds=600.0,
    arrival_rate=0.5,
    reference_price=100.0,
    tick_size=0.01,
    lot_size=1.0,
    order_size=2.0,
)
RISK = RiskParameters(
    max_position=10,
    normal_volatility_threshold=20.0,
    elevated_volatility_threshold=30.0,
    high_stress_volatility_threshold=50.0,
)
PARAMETERS = ParameterSet(symbol="X", quoting=QUOTING, risk=RISK)


def steps_of(n: int = 200, seed: int = 0) -> PathSteps:
    rng = np.random.default_rng(seed)
    return PathSteps(
        mid_return=rng.normal(0, 5e-4, n),
        volatility=np.full(n, 8e-5),
        spread_ticks=rng.integers(1, 4, n),
        buy_orders=rng.poisson(25, n),
        sell_orders=rng.poisson(25, n),
        touch_lots=rng.integers(2, 9, n),
        order_lots=np.full(n, 3.0),
        session=np.repeat([0, 1], n // 2),
        step_s=60.0,
        price_ticks=10_000.0,
    )


def path_market(steps: PathSteps, index: int, *, seed: int, path_steps: int) -> MarketData:
    """The ticks of one path, as a market for the public replay."""
    path = (60 * S, 12, 4, 30.0, path_steps, steps.price_ticks, QUOTING.kappa * 0.01, seed)
    columns = (
        steps.mid_return,
        steps.volatility,
        steps.spread_ticks,
        steps.buy_orders,
        steps.sell_orders,
        steps.touch_lots,
        steps.order_lots,
    )
    t, price, lots, side, qt, bid, bid_lots, ask, ask_lots = native.path_ticks(*columns, path, index)
    span = [[0, path_steps * 60 * S]]
    return MarketData(
        trades=Trades(
            time_ns=t,
            price_ticks=price,
            size_lots=lots,
            side=side,
            id=np.arange(len(t)),
            instrument=X,
            sessions=span,
        ),
        quotes=Quotes(
            time_ns=qt,
            bid_ticks=bid,
            bid_lots=bid_lots,
            ask_ticks=ask,
            ask_lots=ask_lots,
            instrument=X,
            sessions=span,
        ),
    )


def test_a_path_through_the_public_replay_gives_the_same_drawdown() -> None:
    steps = steps_of()
    results = replay_paths(steps, PARAMETERS, limits=(3, 10), instrument=X, paths=6, seed=4, threads=1)
    for index in range(6):
        market = path_market(steps, index, seed=4, path_steps=100)
        for column, limit in enumerate((3, 10)):
            risk = msgspec.structs.replace(RISK, max_position=limit)
            one = replay(market, msgspec.structs.replace(PARAMETERS, risk=risk))
            assert one.sessions["max_drawdown"][0] == results.max_drawdown[index, column]
            assert one.sessions["pnl"][0] == results.pnl[index, column]
            assert one.sessions["fills"][0] == results.fills[index, column]
    assert results.fills.min() > 10


def test_results_depend_on_the_seed_and_not_on_threads_or_chunks() -> None:
    steps = steps_of()
    common = {"limits": (10,), "instrument": X, "path_steps": 50}
    all_at_once = replay_paths(steps, PARAMETERS, paths=150, threads=2, seed=1, **common)
    single = replay_paths(steps, PARAMETERS, paths=150, threads=1, seed=1, **common)
    tail = replay_paths(steps, PARAMETERS, paths=50, first_path=100, threads=1, seed=1, **common)
    other = replay_paths(steps, PARAMETERS, paths=150, threads=1, seed=2, **common)
    np.testing.assert_array_equal(all_at_once.max_drawdown, single.max_drawdown)
    np.testing.assert_array_equal(all_at_once.max_drawdown[100:], tail.max_drawdown)
    assert not np.array_equal(other.max_drawdown, single.max_drawdown)


def test_limits_see_the_same_days_and_bound_the_position() -> None:
    results = replay_paths(
        steps_of(), PARAMETERS, limits=(10, 0, 4, 10), instrument=X, paths=30, path_steps=60, threads=1
    )
    np.testing.assert_array_equal(results.max_drawdown[:, 0], results.max_drawdown[:, 3])
    assert not results.max_drawdown[:, 1].any()
    assert np.all(results.largest_position <= [10, 0, 4, 10])


def test_the_ticks_of_a_path_have_the_moments_of_the_steps() -> None:
    steps = steps_of(n=400, seed=3)
    market = path_market(steps, 0, seed=9, path_steps=4_000)
    q, t = market.quotes, market.trades
    minute_mid = q.mid_ticks()[12::12] / q.mid_ticks()[:-12:12]
    # the quote at the start of a step stands one substep (5 s) into its walk
    expected = np.sqrt(np.var(steps.mid_return) + 2 * 0.5 * (8e-5) ** 2 * 5)
    assert np.std(minute_mid - 1.0) == pytest.approx(expected, rel=0.05)
    five_second = np.diff(q.mid_ticks()) / q.mid_ticks()[:-1]
    inside = np.arange(len(five_second)) % 12 != 11
    drift = np.mean(steps.mid_return**2) / 144
    assert np.std(five_second[inside]) == pytest.approx(np.sqrt((8e-5) ** 2 * 5 + drift), rel=0.06)
    # sizes are preserved by merging; each order is 3 lots
    traded = t.size_lots[t.side > 0].sum() / 4_000
    assert traded == pytest.approx(3.0 * steps.buy_orders.mean(), rel=0.04)  # about 130 blocks
    # a lone order's distance is exponential with kappa; where the spread is even the quoted mid is on the grid, the
    # true one uniform within half a tick of it, so P(price >= mid + 3 ticks) = exp(-3 kappa) sinh(kappa/2) / (kappa/2)
    at = np.searchsorted(q.time_ns, t.time_ns, side="right") - 1
    lone = (t.size_lots == 3) & ((q.ask_ticks - q.bid_ticks)[at] == 2)
    beyond = np.abs(t.price_ticks - q.mid_ticks()[at])[lone] >= 3.0
    expected = np.exp(-0.8 * 3.0) * np.sinh(0.4) / 0.4
    assert np.mean(beyond) == pytest.approx(expected, abs=4.0 * np.sqrt(expected / len(beyond)))
    assert len(beyond) > 5_000


def test_rows_make_the_days_instead_of_the_bootstrap() -> None:
    steps = steps_of(20)
    crash = PathSteps(
        **{
            name: getattr(steps, name)
            for name in ("volatility", "spread_ticks", "touch_lots", "order_lots", "session")
        },
        mid_return=np.where(np.arange(20) < 10, 0.0, -0.01),
        buy_orders=np.where(np.arange(20) < 10, 20, 0),
        sell_orders=np.full(20, 20),
        step_s=60.0,
        price_ticks=10_000.0,
    )
    calm = np.tile(np.arange(10), (4, 2))
    falling = np.concatenate([np.tile(np.arange(10), (4, 1)), np.tile(np.arange(10, 20), (4, 1))], axis=1)
    common = {"limits": (10,), "instrument": X, "threads": 1}
    quiet = replay_paths(crash, PARAMETERS, rows=calm, **common)
    fallen = replay_paths(crash, PARAMETERS, rows=falling, **common)
    assert fallen.max_drawdown.shape == (4, 1)
    # ten lots long through a fall of about 10 % of 100: about 95, and nothing like it on a calm day
    assert fallen.max_drawdown.min() > 50.0
    assert quiet.max_drawdown.max() < 10.0


def test_measured_steps_return_what_was_put_in() -> None:
    truth = steps_of(n=120, seed=5)
    market = path_market(truth, 3, seed=2, path_steps=120)
    steps = measure_steps(market)
    assert len(steps) == 120
    assert steps.step_s == 60.0
    assert np.mean(steps.volatility) == pytest.approx(8e-5, rel=0.15)
    assert steps.touch_lots.min() >= 2
    assert steps.touch_lots.max() <= 8
    np.testing.assert_array_equal(np.unique(steps.spread_ticks), [1, 2, 3])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"limits": ()}, "at least one position limit"),
        ({"limits": (-1,)}, "at least 0 lots"),
        ({"fill_model": "hope"}, "conservative"),
        ({"paths": 0}, "at least 1 each"),
        ({"rows": np.array([[0, 999]])}, "row numbers in 0"),
    ],
)
def test_impossible_requests_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        replay_paths(steps_of(), PARAMETERS, **{"limits": (1,), "instrument": X, **options})  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="missing_parameters"):
        replay_paths(steps_of(), ParameterSet(symbol="X"), limits=(1,), instrument=X)


def test_impossible_steps_are_refused() -> None:
    good = {f: getattr(steps_of(), f) for f in PathSteps.__dataclass_fields__}
    with pytest.raises(InvalidInputError, match="spread_ticks"):
        PathSteps(**{**good, "spread_ticks": np.zeros(200, int)})
    with pytest.raises(InvalidInputError, match="volatility"):
        PathSteps(**{**good, "volatility": np.full(200, np.nan)})
    market = path_market(steps_of(), 0, seed=1, path_steps=2)
    with pytest.raises(InvalidTicksError, match="whole step"):
        measure_steps(market, step_s=600.0)
