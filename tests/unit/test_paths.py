"""Resampled days: the native days are those of the NumPy twin, the engine is the real one, threads change nothing."""

from __future__ import annotations

from dataclasses import replace as change

import msgspec
import numpy as np
import pytest

from calibrig.calibration.drawdown import measure_drawdowns
from calibrig.calibration.resampled_days import assemble_days, collect_minutes, draw_days
from calibrig.engine import MinuteRows, replay, replay_days
from calibrig.errors import InvalidInputError
from calibrig.market import simulate_market
from calibrig.parameters import AvellanedaStoikovParameters, Instrument, ParameterSet, RiskParameters

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
    normal_volatility_threshold=1.2,
    elevated_volatility_threshold=1.5,
    high_stress_volatility_threshold=1.8,
)
PARAMETERS = ParameterSet(symbol="X", quoting=QUOTING, risk=RISK)


def make_minutes(count: int = 40, seed: int = 0, cells: int = 12) -> MinuteRows:
    """Minutes of two days with odd and even spreads, jumps between minutes, and cells without trades."""
    rng = np.random.default_rng(seed)
    bid = 10_000 + np.cumsum(rng.integers(-2, 3, count * cells)).reshape(count, cells)
    ask = bid + rng.integers(1, 4, (count, cells))
    lots = rng.integers(0, 9, (count, cells, 2)) * rng.integers(0, 2, (count, cells, 2))
    twice = (bid + ask)[:, 0]
    return MinuteRows(
        bid=bid,
        ask=ask,
        bid_lots=rng.integers(1, 9, (count, cells)),
        ask_lots=rng.integers(1, 9, (count, cells)),
        start_twice_mid=twice,
        end_twice_mid=twice + rng.integers(-5, 6, count),
        trade_price=np.stack((ask, bid), axis=2) + rng.integers(-1, 2, (count, cells, 2)),
        trade_lots=lots,
        day=np.repeat([0, 1], count // 2),
        day_minutes=count // 2,
        instrument=X,
    )


@pytest.mark.parametrize("cells", [12, 7, 1])  # 60 s do not divide by 7
@pytest.mark.parametrize("fill_model", ["conservative", "through", "touch"])
def test_native_days_are_those_of_the_twin(cells: int, fill_model: str) -> None:
    minutes = make_minutes(cells=cells)
    rows, _ = draw_days(minutes, days=9, block_minutes=4.0, generator=np.random.default_rng(2))
    found = replay_days(minutes, rows, PARAMETERS, limits=(3, 10), fill_model=fill_model, threads=2)
    days = assemble_days(minutes, rows)
    for column, limit in enumerate((3, 10)):
        risk = msgspec.structs.replace(RISK, max_position=limit)
        told = replay(days, msgspec.structs.replace(PARAMETERS, risk=risk), fill_model=fill_model).sessions
        for name in ("max_drawdown", "pnl", "fills"):
            np.testing.assert_array_equal(getattr(found, name)[:, column], told[name], err_msg=name)
        np.testing.assert_array_equal(found.largest_position[:, column], told["largest_position_lots"])
    if cells > 1:
        assert found.fills.min() > 0


def test_native_days_are_those_of_the_twin_on_a_simulated_market() -> None:
    market = simulate_market(seed=4, sessions=2, session_s=1_800.0).market
    minutes = collect_minutes(market)
    quoting = msgspec.structs.replace(
        QUOTING, tick_size=market.instrument.tick_size, lot_size=market.instrument.lot_size, kappa=10.0
    )
    parameters = ParameterSet(symbol=market.instrument.symbol, quoting=quoting, risk=RISK)
    rows, _ = draw_days(minutes, days=20, block_minutes=5.0, generator=np.random.default_rng(1))
    told = replay(assemble_days(minutes, rows), parameters).sessions
    found = replay_days(minutes, rows, parameters)
    np.testing.assert_array_equal(found.max_drawdown[:, 0], told["max_drawdown"])
    np.testing.assert_array_equal(found.pnl[:, 0], told["pnl"])
    assert found.fills.min() > 10


def test_results_do_not_depend_on_threads_or_on_how_days_are_grouped() -> None:
    minutes = make_minutes()
    rows, _ = draw_days(minutes, days=150, block_minutes=4.0, generator=np.random.default_rng(2))
    at_once = replay_days(minutes, rows, PARAMETERS, threads=2)
    single = replay_days(minutes, rows, PARAMETERS, threads=1)
    tail = replay_days(minutes, rows[100:], PARAMETERS, threads=1)
    np.testing.assert_array_equal(at_once.max_drawdown, single.max_drawdown)
    np.testing.assert_array_equal(at_once.max_drawdown[100:], tail.max_drawdown)


def test_limits_see_the_same_days_and_bound_the_position() -> None:
    minutes = make_minutes()
    rows, _ = draw_days(minutes, days=30, block_minutes=4.0, generator=np.random.default_rng(3))
    results = replay_days(minutes, rows, PARAMETERS, limits=(10, 0, 4, 10), threads=1)
    np.testing.assert_array_equal(results.max_drawdown[:, 0], results.max_drawdown[:, 3])
    assert not results.max_drawdown[:, 1].any()
    assert np.all(results.largest_position <= [10, 0, 4, 10])


def test_more_days_begin_with_the_days_of_fewer() -> None:
    """Candidates are first looked at with 1,000 days, then with all: both must see the same first thousand."""
    minutes = make_minutes(8)
    few, _ = measure_drawdowns(minutes, PARAMETERS, days=1_000, block_minutes=2.0, seed=3)
    many, origin = measure_drawdowns(minutes, PARAMETERS, days=2_500, block_minutes=2.0, seed=3)
    np.testing.assert_array_equal(many[:1_000], few)
    assert not np.array_equal(many[1_000:2_000], few)  # and go on with others
    assert len(many) == len(origin) == 2_500
    assert np.bincount(origin).tolist() == [1_250, 1_250]
    other, _ = measure_drawdowns(minutes, PARAMETERS, days=1_000, block_minutes=2.0, seed=4)
    assert not np.array_equal(other, few)


def test_a_fall_of_ten_percent_costs_a_long_position_that_much() -> None:
    """Sellers only, then a fall of 10 % in 20 minutes: 10 lots long lose about 100 of 1,000."""
    calm = make_minutes(20)
    flat = np.full((20, 12), 10_000)
    fall = np.where(np.arange(20) < 10, 0, -100)[:, None] * np.arange(12) // 12
    lots = np.zeros((20, 12, 2), np.int64)
    lots[:, :, 1] = 20
    crash = change(
        calm,
        bid=flat - 1 + fall,
        ask=flat + 1 + fall,
        bid_lots=np.full((20, 12), 2),
        ask_lots=np.full((20, 12), 2),
        trade_price=np.stack((flat + 1 + fall, flat - 3 + fall), axis=2),
        trade_lots=lots,
        start_twice_mid=np.full(20, 20_000),
        end_twice_mid=np.where(np.arange(20) < 10, 20_000, 19_800),
    )
    quiet = replay_days(crash, np.tile(np.arange(10), (4, 2)), PARAMETERS)
    fallen = replay_days(crash, np.tile(np.arange(20), (4, 1)), PARAMETERS)
    assert quiet.max_drawdown.max() < 2.0
    # ten minutes of one dollar each, 10 lots: the loop may have bought up to its limit before
    assert 80.0 < fallen.max_drawdown.min() <= fallen.max_drawdown.max() < 110.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"limits": ()}, "at least one position limit"),
        ({"limits": (-1,)}, "at least 0 lots"),
        ({"fill_model": "hope"}, "conservative"),
    ],
)
def test_impossible_requests_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        replay_days(make_minutes(), np.zeros((1, 2), int), PARAMETERS, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "rows", [np.array([[0, 999]]), np.array([[-1]]), np.zeros((0, 3), int), np.zeros(3, int)]
)
def test_impossible_rows_are_refused(rows: np.ndarray) -> None:
    with pytest.raises(InvalidInputError, match="row numbers in 0"):
        replay_days(make_minutes(), rows, PARAMETERS)


def test_missing_parameters_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="missing_parameters"):
        replay_days(make_minutes(), np.zeros((1, 2), int), ParameterSet(symbol="X"))
