"""What the signal model sees at each tick: the 16 microstructure features, made natively from trades and quotes.

docs/features.md holds the formula, unit and scale of each.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from calibrig._native import engine as _native  # noqa: TID251
from calibrig.engine.columns import hawkes_numbers, to_native_market
from calibrig.market import MarketData
from calibrig.parameters import HawkesParameters

__all__ = ["FeatureRows", "extract_features"]


class FeatureRows(NamedTuple):
    """One row of features per tick (trades and quotes merged by time; at equal stamps trades first).

    Attributes
    ----------
    values : ndarray of float64, shape (n_ticks, 16)
        In the order of ``FEATURE_NAMES``; the state after the tick. All 0 where ``valid`` is False.
    time_ns : ndarray of int64, shape (n_ticks,)
        Time of the tick.
    valid : ndarray of bool, shape (n_ticks,)
        False before the first sound quote of a session and while the book is crossed, locked or empty.
    is_trade : ndarray of bool, shape (n_ticks,)
        Whether the tick was a trade.
    """

    values: NDArray[np.float64]
    time_ns: NDArray[np.int64]
    valid: NDArray[np.bool_]
    is_trade: NDArray[np.bool_]


def extract_features(market: MarketData, hawkes: HawkesParameters | None = None) -> FeatureRows:
    """Return the features after every tick, by the code the trading engine runs.

    Parameters
    ----------
    market : MarketData
        Trades and quotes; ticks outside the sessions are skipped and each session starts anew.
    hawkes : HawkesParameters or None
        For the three intensity features; None gives intensities of 1 (their mean) and an imbalance of 0.

    Raises
    ------
    InvalidTicksError
        If there are no quotes, or sides other than -1, 0, +1.

    Examples
    --------
    >>> from calibrig.market import MarketData, Quotes, Trades
    >>> from calibrig.parameters import Instrument
    >>> x = Instrument(symbol="X", tick_size=1.0, lot_size=1.0)
    >>> quotes = Quotes(time_ns=[0, 2_000_000_000], bid_ticks=[99, 99], bid_lots=[3, 3], ask_ticks=[101, 101],
    ...     ask_lots=[1, 3], instrument=x, sessions=[[0, 10_000_000_000]])
    >>> trades = Trades(time_ns=[1_000_000_000], price_ticks=[101], size_lots=[2], side=[1], id=[0],
    ...     instrument=x, sessions=[[0, 10_000_000_000]])
    >>> rows = extract_features(MarketData(trades=trades, quotes=quotes))
    >>> rows.values[:, 1].tolist()  # depth imbalance: (3 - 1) / (3 + 1), then 0
    [0.5, 0.5, 0.0]
    """
    numbers = None if hawkes is None else hawkes_numbers(hawkes)
    values, time_ns, valid, is_trade = _native.extract_features(to_native_market(market), numbers)
    for array in (values, time_ns, valid, is_trade):
        array.flags.writeable = False
    return FeatureRows(values, time_ns, valid.view(np.bool_), is_trade.view(np.bool_))
