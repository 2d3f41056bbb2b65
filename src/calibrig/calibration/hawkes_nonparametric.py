"""The kernel without a formula: expectation-maximisation over a stretch of events (Lewis, Mohler 2011)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calibrig.models.hawkes_events import HawkesEvents

__all__ = ["KernelEstimate", "estimate_kernel"]

Float64Array = NDArray[np.float64]

_MOST_EVENTS = 6_000
_MOST_PARENTS = 200
_ITERATIONS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelEstimate:
    """Heights of the kernel in logarithmic bins of delay.

    Attributes
    ----------
    delay_s : ndarray of float64, shape (k,)
        Geometric middle of each bin, s.
    self_, cross : ndarray of float64, shape (k,)
        Excitation of the own and the other side, 1/s.
    """

    delay_s: Float64Array
    self_: Float64Array
    cross: Float64Array


def estimate_kernel(
    events: HawkesEvents, *, shortest_s: float, longest_s: float, bins: int = 24
) -> KernelEstimate:
    """Share each event out among its possible parents and the background, over and over, until it settles.

    Uses at most 6,000 consecutive events of one session and, for each, the 200 events before it; what lies
    further back counts as background. Meant to be looked at beside the fitted formula, not to be traded on.

    Examples
    --------
    >>> from calibrig import HawkesParameters, simulate_hawkes
    >>> from calibrig.models.hawkes_events import prepare_events
    >>> truth = HawkesParameters(alpha_self=0.3, alpha_cross=0.1, beta=0.5, gamma=2.0, lambda_base=0.5)
    >>> events = prepare_events(*simulate_hawkes(truth, seed=3), resolution_ns=1)
    >>> estimate = estimate_kernel(events, shortest_s=0.05, longest_s=20.0, bins=8)
    >>> bool(estimate.self_[2] > estimate.self_[6] > 0)
    True
    """
    session = int(np.argmax(np.diff(np.searchsorted(events.time_ns, events.sessions[:, 1]), prepend=0)))
    inside = events.window(*(int(x) for x in events.sessions[session]))
    count = min(len(inside), _MOST_EVENTS)
    first = (len(inside) - count) // 2
    times = (inside.time_ns[first : first + count] - inside.time_ns[first]) * 1e-9
    if inside.offset_ns is not None:
        times = times + inside.offset_ns[first : first + count] * 1e-9
    sides = inside.side[first : first + count]
    edges = np.geomspace(shortest_s, longest_s, bins + 1)
    parents = min(_MOST_PARENTS, count - 1)
    index = np.arange(count)[:, None] - np.arange(1, parents + 1)[None, :]
    known = index >= 0
    index = np.maximum(index, 0)
    delay = times[:, None] - times[index]
    bin_ = np.where(known & (delay < longest_s), np.clip(np.searchsorted(edges, delay) - 1, 0, bins - 1), -1)
    kind = (sides[:, None] != sides[index]).astype(np.intp)
    flat = np.where(bin_ >= 0, kind * bins + bin_, 2 * bins)
    widths = np.diff(edges)
    widths[0] = edges[1]  # the first bin reaches down to 0
    exposure = np.array([np.count_nonzero(times + edge < times[-1]) for edge in edges[:-1]], dtype=np.float64)
    background = 0.25 * count / times[-1]
    heights = np.concatenate([np.full(2 * bins, 0.3 / longest_s), [0.0]])
    for _ in range(_ITERATIONS):
        share = heights[flat]
        total = background + share.sum(axis=1)
        share /= total[:, None]
        background = 0.5 * float((background / total).sum()) / times[-1]
        sums = np.bincount(flat.reshape(-1), share.reshape(-1), minlength=2 * bins + 1)[: 2 * bins]
        heights[: 2 * bins] = sums / np.tile(np.maximum(exposure, 1.0) * widths, 2)
    return KernelEstimate(
        delay_s=np.sqrt(np.maximum(edges[:-1], edges[1] / 4) * edges[1:]),
        self_=heights[:bins],
        cross=heights[bins : 2 * bins],
    )
