"""Whether the branching ratio is the same over halves and hours, and whether a missing profile shows."""

from __future__ import annotations

import itertools
import math

import numpy as np
from numpy.typing import NDArray

from calibrig.calibration.hawkes_errors import covariance
from calibrig.calibration.hawkes_search import Optimum, search_optimum
from calibrig.models.hawkes_events import HawkesEvents
from calibrig.parameters import GateResult

__all__ = ["branching", "judge_seasonality", "judge_stability"]

Float64Array = NDArray[np.float64]

_EVENTS_PER_PART = 10_000
_LIMIT_SE = 3.5
_MOST_PARTS = 6
_MOST_EVENTS = 300_000
_LOOSE = 0.01  # decrement, nats: a tenth of a standard error before the last step


def branching(optimum: Optimum) -> tuple[float, float]:
    """Branching ratio at an optimum and its standard error."""
    n = np.exp(optimum.u[1:3]) * optimum.free[1:3]
    cov = np.nan_to_num(covariance(optimum))[1:3, 1:3]
    return float(n.sum()), math.sqrt(max(float(n @ cov @ n), 0.0))


def _parts(events: HawkesEvents, count: int) -> list[HawkesEvents]:
    edges = np.linspace(0, len(events), count + 1).astype(np.intp)
    out = []
    for k, (begin, stop) in enumerate(itertools.pairwise(edges)):
        spare = max(int(stop - begin) - _MOST_EVENTS // count, 0) // 2  # the middle of a long part is enough
        first, last = int(begin) + spare, int(stop) - spare
        start = int(events.sessions[0, 0]) if k == 0 and first == 0 else int(events.time_ns[first])
        end = (
            int(events.sessions[-1, 1])
            if k == count - 1 and last == len(events)
            else int(events.time_ns[last])
        )
        part = events.window(start, end)
        in_session = np.searchsorted(part.time_ns, part.sessions[:, 1])
        if len(part) and np.all(np.diff(in_session, prepend=0) > 0):
            out.append(part)
    return out


def judge_stability(
    events: HawkesEvents, optimum: Optimum, profile: Float64Array, *, threads: int | None
) -> GateResult:
    """Compare n over two halves (all parameters free) and over up to six parts (beta and gamma held)."""
    limit = f"<= {_LIMIT_SE:g} SE"
    if len(events) < 2 * _EVENTS_PER_PART:
        detail = f"{len(events)} events; halves need {2 * _EVENTS_PER_PART}"
        return GateResult(name="stability", value=None, limit=limit, passed=None, detail=detail)
    shape_held = np.array([True, True, True, False, False, True]) & optimum.free
    worst, where = 0.0, ""
    counts = [(2, optimum.free)]
    if len(events) >= 3 * _EVENTS_PER_PART:
        counts.append((min(_MOST_PARTS, len(events) // _EVENTS_PER_PART), shape_held))
    for count, free in counts:
        found = []
        for part in _parts(events, count):
            fit, _ = search_optimum(
                part, profile=profile, threads=threads, free=free, start=optimum.u, tolerance=_LOOSE
            )
            found.append(branching(fit))
        for k in range(len(found)):
            for j in range(k):
                spread = math.hypot(found[k][1], found[j][1])
                z = abs(found[k][0] - found[j][0]) / spread if spread > 0 else 0.0
                allowed = _pair_limit(len(found))
                if z / allowed > worst:
                    worst = z / allowed
                    where = (
                        f"n = {found[j][0]:.3f} in part {j + 1}, {found[k][0]:.3f} in part {k + 1} of {count}"
                    )
    return GateResult(
        name="stability",
        value=_LIMIT_SE * worst,
        limit=limit,
        passed=bool(worst <= 1.0),
        detail=f"largest difference: {where}",
    )


def _pair_limit(parts: int) -> float:
    """The limit for one comparison; for more, the limit that keeps the same false-alarm rate (Bonferroni)."""
    from statistics import NormalDist

    pairs = parts * (parts - 1) / 2
    tail = (1.0 - NormalDist().cdf(_LIMIT_SE)) / pairs
    return NormalDist().inv_cdf(1.0 - tail)


def judge_seasonality(
    events: HawkesEvents, optimum: Optimum, profile: Float64Array, used: bool, *, threads: int | None
) -> GateResult:
    """Judge the gain of a profile over a constant baseline: not significant, or the profile is used."""
    limit = "not significant (chi-square, 99.9 %), or the profile is used"
    if len(events.sessions) < 2:
        detail = "one session cannot tell time of day from chance; b = 1 is assumed"
        return GateResult(name="seasonality", value=None, limit=limit, passed=None, detail=detail)
    if used:
        height = f"{profile.min():.2f} .. {profile.max():.2f}"
        return GateResult(
            name="seasonality",
            value=None,
            limit=limit,
            passed=True,
            detail=f"profile of {len(profile)} bins used, {height}",
        )
    from scipy.stats import chi2

    seasonal, _ = search_optimum(events, profile=profile, threads=threads, start=optimum.u)
    gain = seasonal.evaluation.value - optimum.evaluation.value
    critical = 0.5 * float(chi2.ppf(0.999, len(profile) - 1))
    return GateResult(
        name="seasonality",
        value=gain,
        limit=limit,
        passed=bool(gain <= critical),
        detail=f"log-likelihood gain of a {len(profile)}-bin profile in nats; significant above {critical:.3g}",
    )
