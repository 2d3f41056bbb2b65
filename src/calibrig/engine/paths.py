"""How bad a day can get: the minutes of recorded days in a new order, through the real engine, per position limit.

Days are independent of each other and of the limits they are run under (common random numbers: every limit sees the
same days), so results do not depend on threads or on how days are grouped into calls.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from calibrig._native import engine as _native  # noqa: TID251
from calibrig.engine.limits import PreTradeLimits
from calibrig.engine.loop import FILL_MODELS
from calibrig.engine.parameter_block import judge_parameters, make_block
from calibrig.errors import InvalidInputError
from calibrig.market import Instrument
from calibrig.parameters import ParameterSet

__all__ = ["MINUTE_NS", "MinuteRows", "PathResults", "replay_days"]

Int64Array = NDArray[np.int64]

MINUTE_NS = 60_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class MinuteRows:
    """Minutes of a market on a grid of ``cells`` instants each.

    Attributes
    ----------
    bid, ask, bid_lots, ask_lots : ndarray of int64, shape (minutes, cells)
        The book at each instant.
    start_twice_mid, end_twice_mid : ndarray of int64, shape (minutes,)
        Bid + ask at the first instant, and at the first instant after the minute.
    trade_price, trade_lots : ndarray of int64, shape (minutes, cells, 2)
        Per cell and side (buy, sell): furthest price and volume; 0 lots where there was none.
    day : ndarray of int64, shape (minutes,)
        Which session a minute is from.
    day_minutes : int
        Minutes of the longest session.
    instrument : Instrument
    """

    bid: Int64Array
    ask: Int64Array
    bid_lots: Int64Array
    ask_lots: Int64Array
    start_twice_mid: Int64Array
    end_twice_mid: Int64Array
    trade_price: Int64Array
    trade_lots: Int64Array
    day: Int64Array
    day_minutes: int
    instrument: Instrument

    def __len__(self) -> int:
        return len(self.day)

    @property
    def cells(self) -> int:
        """Instants a minute."""
        return int(self.bid.shape[1])


@dataclass(frozen=True, slots=True, kw_only=True)
class PathResults:
    """One row per day, one column per position limit; money in price units.

    Attributes
    ----------
    limits : tuple of int
        Position limits, lots.
    max_drawdown, pnl : ndarray of float64, shape (days, limits)
        Largest fall of the P&L (marked at mid, after fees) from its peak within the day; and its final value, flat.
    largest_position, fills : ndarray of int64, shape (days, limits)
    """

    limits: tuple[int, ...]
    max_drawdown: NDArray[np.float64]
    pnl: NDArray[np.float64]
    largest_position: Int64Array
    fills: Int64Array


def replay_days(
    minutes: MinuteRows,
    rows: Int64Array,
    parameters: ParameterSet,
    *,
    limits: Sequence[int] | None = None,
    fill_model: str = "conservative",
    order_latency_ns: int = 50_000,
    response_latency_ns: int = 50_000,
    form: str = "stationary",
    pre_trade: PreTradeLimits | None = None,
    threads: int | None = None,
) -> PathResults:
    """Make days from minutes, send each through the native engine and venue, and return their drawdowns.

    The price runs on from minute to minute, shifted by whole ticks where they meet; the engine trades without a signal.
    `calibrig.calibration.resampled_days.assemble_days` makes the same ticks as a market for `replay`.

    Parameters
    ----------
    minutes : MinuteRows
        From `calibrig.calibration.resampled_days.collect_minutes`.
    rows : ndarray of int64, shape (days, length)
        Rows of ``minutes`` that make each day.
    parameters : ParameterSet
        Quoting and risk are used (regimes included).
    limits : sequence of int, optional
        Position limits, lots, each in the place of ``risk.max_position``; default that one alone.
    fill_model, order_latency_ns, response_latency_ns, form, pre_trade
        As in :func:`calibrig.engine.replay`.
    threads : int, optional
        Default every processor this process may use.

    Raises
    ------
    InvalidInputError
        Parameters are missing, or ``limits`` or ``rows`` cannot be.
    KeyboardInterrupt
        Soon after Ctrl-C.

    Examples
    --------
    One minute, twelve quotes, bought from by one seller a cell: made into two days of three minutes.

    >>> from calibrig.parameters import AvellanedaStoikovParameters, RiskParameters
    >>> flat, twice = np.full((1, 12), 5), np.array([20_000])
    >>> minutes = MinuteRows(bid=flat + 9_985, ask=flat + 10_005, bid_lots=flat, ask_lots=flat, start_twice_mid=twice,
    ...     end_twice_mid=twice, trade_price=np.full((1, 12, 2), 9_990), trade_lots=np.tile([0, 3], (1, 12, 1)),
    ...     day=np.array([0]), day_minutes=1, instrument=Instrument(symbol="X", tick_size=0.01, lot_size=1.0))
    >>> parameters = ParameterSet(symbol="X", quoting=AvellanedaStoikovParameters(gamma=0.1, sigma=0.5, kappa=20.0,
    ...     time_horizon_seconds=600.0, arrival_rate=1.0, reference_price=100.0, tick_size=0.01, lot_size=1.0),
    ...     risk=RiskParameters(max_position=1, normal_volatility_threshold=2.0, elevated_volatility_threshold=3.0,
    ...     high_stress_volatility_threshold=5.0))
    >>> replay_days(minutes, np.zeros((2, 3), int), parameters, limits=(1, 4)).largest_position.tolist()
    [[1, 4], [1, 4]]
    """
    refusal = judge_parameters(
        parameters, with_bridge=False, accept=("unversioned", "default"), max_age_s=1e12
    )
    if refusal != "none" or parameters.quoting is None or parameters.risk is None:
        raise InvalidInputError(
            f"the parameters cannot be traded with: {refusal}; give quoting and risk records"
        )
    risk = parameters.risk
    chosen = (risk.max_position,) if limits is None else tuple(int(limit) for limit in limits)
    if not chosen or min(chosen) < 0:
        raise InvalidInputError(f"limits is {chosen}; give at least one position limit of at least 0 lots")
    if fill_model not in FILL_MODELS:
        raise InvalidInputError(f"fill_model is {fill_model!r}; give one of {', '.join(FILL_MODELS)}")
    rows = np.ascontiguousarray(rows, dtype=np.int64)
    if rows.ndim != 2 or rows.size == 0 or rows.min() < 0 or rows.max() >= len(minutes):
        raise InvalidInputError(
            f"rows has shape {rows.shape}; give (days, length) row numbers in 0 .. {len(minutes) - 1}"
        )
    instrument = minutes.instrument
    blocks = [
        make_block(
            msgspec.structs.replace(parameters, risk=msgspec.structs.replace(risk, max_position=limit)),
            instrument,
            refusal="none",
            form=form,
        )
        for limit in chosen
    ]
    fees = round(instrument.maker_fee * 1e9), round(instrument.taker_fee * 1e9)
    results = _native.run_days(
        minutes=_to_native(minutes),
        rows=rows,
        options=(FILL_MODELS.index(fill_model), order_latency_ns, response_latency_ns, *fees, 0, 0),
        limits=(pre_trade or PreTradeLimits()).to_native(instrument),
        blocks=blocks,
        threads=len(os.sched_getaffinity(0)) if threads is None else max(1, threads),
    )
    shape = (len(rows), len(chosen))
    drawdown, pnl, position, fills = results
    unit = instrument.tick_size * instrument.lot_size
    return PathResults(
        limits=chosen,
        max_drawdown=(drawdown * unit).reshape(shape),
        pnl=(pnl * unit).reshape(shape),
        largest_position=position.reshape(shape),
        fills=fills.reshape(shape),
    )


def _to_native(minutes: MinuteRows) -> _native._Minutes:
    columns = (
        minutes.bid,
        minutes.ask,
        minutes.bid_lots,
        minutes.ask_lots,
        minutes.trade_price,
        minutes.trade_lots,
        minutes.start_twice_mid,
        minutes.end_twice_mid,
    )
    bid, ask, bid_lots, ask_lots, price, lots, start, end = (
        np.ascontiguousarray(column, dtype=np.int64).reshape(-1) for column in columns
    )
    return (
        bid,
        ask,
        bid_lots,
        ask_lots,
        price,
        lots,
        start,
        end,
        minutes.cells,
        MINUTE_NS // minutes.cells,
        MINUTE_NS,
    )
