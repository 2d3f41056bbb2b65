"""Whether two time scales hold over the day: how much the branching ratio differs between parts, and seasons."""

from __future__ import annotations

import itertools
import math

import numpy as np
from numpy.typing import NDArray

from calibrig.calibration.hawkes_profile import estimate_profile
from calibrig.calibration.hawkes_two_scale_search import (
    LINEAR,
    TwoScaleOptimum,
    maximise_two_scale,
    search_two_scale,
    two_scale_box,
)
from calibrig.models.hawkes_events import HawkesEvents
from calibrig.models.hawkes_two_scale import TwoScaleLikelihood, search_two_scale_nodes
from calibrig.parameters import GateResult

__all__ = ["estimate_spread", "judge_between_parts", "judge_two_scale_seasonality"]

Float64Array = NDArray[np.float64]

_SPREAD_MOST = 0.05
_PART_EVENTS = 10_000
_MOST_PARTS = 5
_ALARM = 0.01
_LEAST_ERROR = 1e-6


def judge_between_parts(
    events: HawkesEvents,
    first: int,
    u: Float64Array,
    profile: Float64Array,
    *,
    horizon_s: float,
    threads: int | None,
) -> list[GateResult]:
    """Let the branching ratio differ between parts (random effects) and ask how much, and whether the last part fits.

    With half a million events any market's n differs between hours by many Hessian errors. So the spread itself is
    estimated (DerSimonian, Laird 1986) over up to five parts of the training events, shape held, and bounded; and n
    of the held-out part must lie inside the prediction interval that spread gives (Student's t, 99 %).
    """
    limit = f"<= {_SPREAD_MOST:g}"
    count = min(_MOST_PARTS, first // _PART_EVENTS)
    found = []
    if count >= 3 and len(events) - first >= _PART_EVENTS // 2:
        edges = [int(x) for x in np.linspace(0, first, count + 1)] + [len(events)]
        for begin, stop in itertools.pairwise(edges):
            part = _part(events, begin, stop)
            if part is not None:
                found.append(_branching_of_part(part, u, profile, horizon_s, threads))
    if len(found) < 4:
        detail = f"{first} events before the held-out part; three parts of {_PART_EVENTS} are needed"
        return [
            GateResult(name=name, value=None, limit=says, passed=None, detail=detail)
            for name, says in (("n_spread", limit), ("stability", "inside the prediction interval"))
        ]
    values, errors = (np.array(column) for column in zip(*found[:-1], strict=True))
    spread = estimate_spread(values, errors)
    weights = 1.0 / (np.maximum(errors, _LEAST_ERROR) ** 2 + spread**2)
    centre = float(weights @ values / weights.sum())
    last, last_error = found[-1]
    from scipy.stats import t

    half = float(t.ppf(1.0 - 0.5 * _ALARM, len(values) - 1)) * math.sqrt(
        spread**2 + 1.0 / float(weights.sum()) + last_error**2
    )
    seen = ", ".join(f"{value:.3f}" for value in values)
    return [
        GateResult(
            name="n_spread",
            value=spread,
            limit=limit,
            passed=spread <= _SPREAD_MOST,
            detail=f"standard deviation of n between parts beyond its errors; n = {seen}",
        ),
        GateResult(
            name="stability",
            value=abs(last - centre),
            limit=f"<= {half:.3g}",
            passed=abs(last - centre) <= half,
            detail=f"n = {last:.3f} +- {last_error:.3f} held out, {centre:.3f} +- {spread:.3f} before",
        ),
    ]


def _part(events: HawkesEvents, begin: int, stop: int) -> HawkesEvents | None:
    start = int(events.sessions[0, 0]) if begin == 0 else int(events.time_ns[begin])
    end = int(events.sessions[-1, 1]) if stop == len(events) else int(events.time_ns[stop])
    part = events.window(start, end)
    inside = np.searchsorted(part.time_ns, part.sessions[:, 1])
    return part if len(part) and np.all(np.diff(inside, prepend=0) > 0) else None


def _branching_of_part(
    part: HawkesEvents, u: Float64Array, profile: Float64Array, horizon_s: float, threads: int | None
) -> tuple[float, float]:
    likelihood = TwoScaleLikelihood(part, horizon_s=horizon_s, profile=profile, threads=threads)
    likelihood.prepare(search_two_scale_nodes(part, math.exp(min(u[4], u[7]))))
    return maximise_two_scale(likelihood, u, two_scale_box(part), searched=LINEAR, tolerance=0.01).branching()


def estimate_spread(values: Float64Array, errors: Float64Array) -> float:
    """Standard deviation between parts beyond their errors, by the method of moments (DerSimonian, Laird 1986).

    Examples
    --------
    >>> estimate_spread(np.array([0.7, 0.8, 0.9]), np.full(3, 1e-6))  # no error: the sample's own deviation
    0.1
    >>> estimate_spread(np.array([0.79, 0.8, 0.81]), np.full(3, 0.1))  # inside the errors
    0.0
    """
    weights = 1.0 / np.maximum(errors, _LEAST_ERROR) ** 2
    centre = float(weights @ values / weights.sum())
    excess = float(weights @ (values - centre) ** 2) - (len(values) - 1)
    scale = float(weights.sum() - (weights**2).sum() / weights.sum())
    return round(math.sqrt(max(excess / scale, 0.0)), 9)


def judge_two_scale_seasonality(
    events: HawkesEvents, optimum: TwoScaleOptimum, profile: Float64Array, bins: int, *, threads: int | None
) -> GateResult:
    """Judge the gain of a profile over a constant baseline: not significant, or the profile is used."""
    limit = "not significant (chi-square, 99.9 %), or the profile is used"
    if len(events.sessions) < 2:
        detail = "one session cannot tell time of day from chance; b = 1 is assumed"
        return GateResult(name="seasonality", value=None, limit=limit, passed=None, detail=detail)
    if len(profile) > 1:
        height = f"{profile.min():.2f} .. {profile.max():.2f}"
        detail = f"profile of {len(profile)} bins used, {height}"
        return GateResult(name="seasonality", value=None, limit=limit, passed=True, detail=detail)
    from scipy.stats import chi2

    tried = estimate_profile(events, max(bins, 13))
    seasonal, _ = search_two_scale(events, profile=tried, threads=threads, start=optimum.u)
    gain = seasonal.evaluation.value - optimum.evaluation.value
    critical = 0.5 * float(chi2.ppf(0.999, len(tried) - 1))
    return GateResult(
        name="seasonality",
        value=gain,
        limit=limit,
        passed=bool(gain <= critical),
        detail=f"log-likelihood gain of a {len(tried)}-bin profile in nats; significant above {critical:.3g}",
    )
