"""The time-of-day profile of the baseline: piecewise constant, mean 1, from raw counts over the sessions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from calibrig.models.hawkes_events import HawkesEvents

__all__ = ["estimate_profile"]

Float64Array = NDArray[np.float64]


def estimate_profile(events: HawkesEvents, bins: int) -> Float64Array:
    """Return the rate in each of `bins` equal parts of the session over the mean rate, shape (bins,).

    Half an event is added to each count, so that no bin is impossible. Counts are divided by the time each bin was observed, so a session cut short does not bend the profile. A
    self-exciting flow scales its baseline, so raw counts have the baseline's shape (up to what the memory smears).
    One session cannot tell time of day from chance: the profile is then flat.

    Examples
    --------
    >>> from calibrig.models.hawkes_events import prepare_events
    >>> day = 86_400 * 10**9
    >>> time_ns = [1000, 2000, 3000, 7000, day + 1000, day + 2000, day + 3000, day + 6000]
    >>> events = prepare_events(time_ns, [1, -1] * 4, sessions=[(0, 10_000), (day, day + 10_000)])
    >>> estimate_profile(events, 2).round(3).tolist()  # (6 + 1/2) and (2 + 1/2) events over their mean
    [1.444, 0.556]
    """
    if len(events.sessions) < 2 or bins == 1:
        return np.ones(1)
    counts = np.bincount(events.profile_bins(bins), minlength=bins).astype(np.float64)
    time_s = np.array([float(events.profile_totals_s(bump).sum()) for bump in np.eye(bins)])
    rate = (counts + 0.5) / np.maximum(time_s, 1e-9)
    rate[time_s <= 0.0] = float(counts.sum() / time_s.sum())
    profile: Float64Array = rate / rate.mean()
    return profile
