"""What a signal learns from: features at ticks, the mid move that followed, and splits that do not leak."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calibrig.engine import FeatureRows
from calibrig.errors import InvalidInputError, InvalidTicksError
from calibrig.market import MarketData

__all__ = ["SignalSamples", "build_samples", "split_purged"]

Float64Array = NDArray[np.float64]
Int64Array = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalSamples:
    """Rows for a signal model, in time order.

    Attributes
    ----------
    time_ns : ndarray of int64, shape (n,)
        Ticks.
    features : ndarray of float64, shape (n, 16)
        In the order of ``FEATURE_NAMES``.
    move_ticks : ndarray of float64, shape (n,)
        Mid ``horizon_s`` later minus mid at the tick, ticks.
    half_spread_ticks : ndarray of float64, shape (n,)
        At the tick.
    session : ndarray of int64, shape (n,)
        Row of the session.
    horizon_s : float
        Horizon, s.
    """

    time_ns: Int64Array
    features: Float64Array
    move_ticks: Float64Array
    half_spread_ticks: Float64Array
    session: Int64Array
    horizon_s: float

    def __len__(self) -> int:
        return len(self.time_ns)

    @property
    def move(self) -> Float64Array:
        """Mid move in half-spreads, unclipped."""
        moved: Float64Array = self.move_ticks / self.half_spread_ticks
        return moved

    @property
    def target(self) -> Float64Array:
        """Mid move in half-spreads, clipped to [-1, 1]: what the model learns."""
        return np.clip(self.move, -1.0, 1.0)


def build_samples(
    market: MarketData, rows: FeatureRows, *, horizon_s: float, max_rows: int = 200_000
) -> SignalSamples:
    """Pair features with the mid move that followed, inside one session each.

    The last row of each stamp is used, with the mid in force after it. Rows that are not valid, or with less than
    the horizon left in their session, are left out. Above ``max_rows`` every k-th row is taken.

    Parameters
    ----------
    market : MarketData
        With quotes.
    rows : FeatureRows
        From :func:`calibrig.engine.extract_features`.
    horizon_s : float
        Horizon, s.
    max_rows : int
        Most rows.

    Returns
    -------
    SignalSamples

    Raises
    ------
    InvalidTicksError
        No two-sided quotes.
    """
    quotes = market.quotes
    usable = (quotes.bid_ticks > 0) & (quotes.ask_ticks > quotes.bid_ticks)
    if not usable.any():
        raise InvalidTicksError(
            f"{market.instrument.symbol!r} has no two-sided quotes; a signal needs the mid"
        )
    quote_ns, mid = quotes.time_ns[usable], quotes.mid_ticks()[usable]
    half_spread: Float64Array = np.multiply((quotes.ask_ticks - quotes.bid_ticks)[usable], 0.5)
    time_ns = rows.time_ns
    session = np.searchsorted(market.sessions[:, 0], time_ns, side="right") - 1
    later_ns = time_ns + round(horizon_s * 1e9)
    now = np.searchsorted(quote_ns, time_ns, side="right") - 1
    row_session = np.maximum(session, 0)
    inside = rows.valid & (session >= 0)
    inside &= np.diff(time_ns, append=time_ns[-1:] + 1) > 0
    inside &= later_ns < market.sessions[row_session, 1]
    inside &= (now >= 0) & (quote_ns[np.maximum(now, 0)] >= market.sessions[row_session, 0])
    chosen = np.flatnonzero(inside)
    if len(chosen) > max_rows:
        chosen = chosen[:: -(-len(chosen) // max_rows)]
    later = np.searchsorted(quote_ns, later_ns[chosen], side="right") - 1
    return SignalSamples(
        time_ns=time_ns[chosen],
        features=np.ascontiguousarray(rows.values[chosen]),
        move_ticks=mid[later] - mid[now[chosen]],
        half_spread_ticks=half_spread[now[chosen]],
        session=session[chosen],
        horizon_s=horizon_s,
    )


def split_purged(
    time_ns: Int64Array, *, test_start_ns: int, test_end_ns: int, horizon_s: float, embargo_s: float
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Split rows into training and test so that no training row knows the test.

    A training row before the test is purged when its target ends after the test starts; a training row after the
    test is embargoed for the horizon and ``embargo_s``: test targets and the memory of its features reach that far.

    Returns
    -------
    tuple of two boolean masks, shape (n,)

    Examples
    --------
    >>> t = np.arange(14) * 10**9
    >>> train, test = split_purged(t, test_start_ns=5 * 10**9, test_end_ns=8 * 10**9, horizon_s=2.0, embargo_s=3.0)
    >>> np.flatnonzero(train).tolist(), np.flatnonzero(test).tolist()
    ([0, 1, 2, 3, 13], [5, 6, 7])
    """
    if test_end_ns <= test_start_ns:
        raise InvalidInputError(f"the test span {test_start_ns} .. {test_end_ns} is empty")
    horizon_ns, embargo_ns = round(horizon_s * 1e9), round(embargo_s * 1e9)
    train = (time_ns + horizon_ns <= test_start_ns) | (time_ns >= test_end_ns + horizon_ns + embargo_ns)
    test = (time_ns >= test_start_ns) & (time_ns < test_end_ns)
    return train, test
