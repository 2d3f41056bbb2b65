"""A causal level on top of an intensity: events seen over events expected, both discounted with age.

The gamma-Poisson filter of a slowly moving rate (Harvey, Fernandes 1989, J. Business & Economic Statistics 7), per side:
``L = (a + N) / (a + Lambda)``, where N counts the side's events and Lambda its compensator, each with weight
``exp(-age / level_s)``. It is renewed at every event and held until the next, so that it needs nothing but the past.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from calibrig.models.hawkes_events import HawkesEvents
from calibrig.models.hawkes_passes import Trace

__all__ = ["apply_level", "causal_level", "discounted_sums"]

Float64Array = NDArray[np.float64]

_AGES_AT_ONCE = 30.0  # e^30 keeps every weight of a stretch inside a double with room to spare


def discounted_sums(time_s: Float64Array, values: Float64Array, age_s: float) -> Float64Array:
    """Return the sums over j <= i of ``values_j * exp(-(t_i - t_j) / age_s)``, shape (n,).

    Examples
    --------
    >>> discounted_sums(np.array([0.0, 1.0]), np.array([1.0, 1.0]), 1.0).round(6).tolist()  # 1 + 1/e
    [1.0, 1.367879]
    """
    out = np.empty(len(time_s))
    first, carry, last_s = 0, 0.0, float(time_s[0]) if len(time_s) else 0.0
    while first < len(time_s):
        begin = float(time_s[first])
        stop = int(np.searchsorted(time_s, begin + _AGES_AT_ONCE * age_s, side="right"))
        age = (time_s[first:stop] - begin) / age_s
        carry *= math.exp(-(begin - last_s) / age_s)
        out[first:stop] = np.exp(-age) * (carry + np.cumsum(values[first:stop] * np.exp(age)))
        carry, last_s, first = float(out[stop - 1]), float(time_s[stop - 1]), stop
    return out


def causal_level(
    events: HawkesEvents, trace: Trace, *, level_s: float, level_events: float | None
) -> dict[int, Float64Array]:
    """Return by side the level that held over the interval ending at each event; 1 until a session's first event.

    Parameters
    ----------
    events : HawkesEvents
        All events.
    trace : Trace
        Of all events, level 1.
    level_s : float
        Mean age of what is remembered, s.
    level_events : float or None
        Events whose weight the level 1 has; None for a level of 1 throughout.

    Examples
    --------
    >>> from calibrig.models.hawkes_events import prepare_events
    >>> events = prepare_events([10**9, 2 * 10**9, 3 * 10**9], [1, 1, -1], sessions=[(0, 4 * 10**9)])
    >>> ones = np.full(3, 0.5)
    >>> trace = Trace(buy=ones, sell=ones, buy_growth=ones, sell_growth=ones, side=events.side)
    >>> level = causal_level(events, trace, level_s=1e9, level_events=10.0)
    >>> level[1].round(4).tolist()  # 1, 1 (the first event of a session is not counted), (10 + 1) / (10 + 0.5)
    [1.0, 1.0, 1.0476]
    """
    out = {1: np.ones(len(events)), -1: np.ones(len(events))}
    if level_events is None:
        return out
    offset = 0.0 if events.offset_ns is None else events.offset_ns
    first = 0
    for start, last in zip(
        events.sessions[:, 0], np.searchsorted(events.time_ns, events.sessions[:, 1]), strict=True
    ):
        time_s = ((events.time_ns - start) + offset)[first + 1 : last] * 1e-9
        for side, growth in ((1, trace.buy_growth), (-1, trace.sell_growth)):
            counted = (events.side[first + 1 : last] == side).astype(np.float64)
            seen = discounted_sums(time_s, counted, level_s)
            expected = discounted_sums(time_s, growth[first + 1 : last], level_s)
            out[side][first + 2 : last] = ((level_events + seen) / (level_events + expected))[:-1]
        first = int(last)
    return out


def apply_level(trace: Trace, level: dict[int, Float64Array]) -> Trace:
    """Return the trace with intensities and growth times the level.

    Examples
    --------
    >>> one = np.ones(1)
    >>> trace = Trace(buy=one, sell=one, buy_growth=one, sell_growth=one, side=np.ones(1, dtype=np.int8))
    >>> apply_level(trace, {1: 2 * one, -1: one}).buy_growth.tolist()
    [2.0]
    """
    return Trace(
        buy=trace.buy * level[1],
        sell=trace.sell * level[-1],
        buy_growth=trace.buy_growth * level[1],
        sell_growth=trace.sell_growth * level[-1],
        side=trace.side,
    )
