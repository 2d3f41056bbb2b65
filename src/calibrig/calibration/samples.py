"""What a signal learns from: features at ticks, the mid move that followed, and splits that do not leak."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

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
    market: MarketData,
    time_ns: Int64Array,
    features: Float64Array,
    *,
    horizon_s: float,
    max_rows: int = 200_000,
) -> SignalSamples:
    """Pair features with the mid move that followed, inside one session each.

    The mid at a tick is the one in force after every quote with that stamp, the later mid likewise. Ticks without
    a two-sided quote, or with less than the horizon left in their session, are left out. Above ``max_rows`` every
    k-th tick is taken.

    Parameters
    ----------
    market : MarketData
        With quotes.
    time_ns, features : ndarray, shapes (n,), (n, 16)
        As :func:`calibrig.engine.extract_features` returns them.
    horizon_s : float
        Horizon, s.
    max_rows : int
        Most rows.

    Returns
    -------
    SignalSamples
    """
    quotes = market.quotes
    usable = (quotes.bid_ticks > 0) & (quotes.ask_ticks > quotes.bid_ticks)
    if not usable.any():
        raise InvalidTicksError(
            f"{market.instrument.symbol!r} has no two-sided quotes; a signal needs the mid"
        )
    quote_ns, mid = quotes.time_ns[usable], quotes.mid_ticks()[usable]
    half_spread: Float64Array = np.multiply((quotes.ask_ticks - quotes.bid_ticks)[usable], 0.5)
    session = np.searchsorted(market.sessions[:, 0], time_ns, side="right") - 1
    later_ns = time_ns + round(horizon_s * 1e9)
    now = np.searchsorted(quote_ns, time_ns, side="right") - 1
    inside = session >= 0
    clipped = np.maximum(session, 0)
    inside &= later_ns < market.sessions[clipped, 1]
    inside &= (now >= 0) & (quote_ns[np.maximum(now, 0)] >= market.sessions[clipped, 0])
    inside &= np.all(np.isfinite(features), axis=1)
    rows = np.flatnonzero(inside)
    if len(rows) > max_rows:
        rows = rows[:: -(-len(rows) // max_rows)]
    later = np.searchsorted(quote_ns, later_ns[rows], side="right") - 1
    return SignalSamples(
        time_ns=time_ns[rows],
        features=np.ascontiguousarray(features[rows]),
        move_ticks=mid[later] - mid[now[rows]],
        half_spread_ticks=half_spread[now[rows]],
        session=session[rows],
        horizon_s=horizon_s,
    )


def split_purged(
    time_ns: Int64Array, *, test_start_ns: int, test_end_ns: int, horizon_s: float, embargo_s: float
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Split rows into training and test so that no training target and no feature memory reaches over.

    A training row is purged when its target ends after the test starts; rows within ``embargo_s`` after the test
    are left out of training, and rows within ``embargo_s`` after its start are left out of the test where training
    rows precede it (features remember).

    Returns
    -------
    tuple of two boolean masks, shape (n,)

    Examples
    --------
    >>> t = np.arange(10) * 10**9
    >>> train, test = split_purged(t, test_start_ns=5 * 10**9, test_end_ns=8 * 10**9, horizon_s=2.0, embargo_s=1.0)
    >>> np.flatnonzero(train).tolist(), np.flatnonzero(test).tolist()
    ([0, 1, 2, 3, 9], [6, 7])
    """
    if test_end_ns <= test_start_ns:
        raise InvalidInputError(f"the test span {test_start_ns} .. {test_end_ns} is empty")
    horizon_ns, embargo_ns = round(horizon_s * 1e9), round(embargo_s * 1e9)
    before = time_ns + horizon_ns <= test_start_ns
    after = time_ns >= test_end_ns + embargo_ns
    train = before | after
    start_ns = test_start_ns + (embargo_ns if bool(before.any()) else 0)
    test = (time_ns >= start_ns) & (time_ns < test_end_ns)
    return train, test
