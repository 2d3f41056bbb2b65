"""How often the gates of the two-scale Hawkes fit are right: joint pass rate on its own data, right names on wrong cases.

Run ``python -m benchmarks.hawkes_two_scale_gates --runs 40`` (``--events`` sets the size, ``--cases`` picks some); it
prints one line per case and a JSON object at the end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from benchmarks import hawkes_gates as one_scale
from calibrig import TwoScaleParameters, fit_two_scale_hawkes, simulate_two_scale_hawkes

DAY_NS = 86_400 * 10**9
MS = 1_000_000
Events = tuple[NDArray[np.int64], NDArray[np.int8]]
Made = tuple[Events, list[tuple[int, int]], dict[str, object]]


@dataclass(frozen=True)
class Case:
    """One kind of data, and how its name is recognised from verdict, reason and failed gates."""

    make: Callable[[int, int], Made]
    right: Callable[[str, str, set[str]], bool]


def truth(
    fast: tuple[float, float],
    fast_s: float,
    slow: tuple[float, float],
    beta: float,
    gamma: float,
    *,
    rate: float = 5.0,
) -> TwoScaleParameters:
    """A process of `rate` events/s a side; the horizon is set with the sessions."""
    n = sum(fast) + sum(slow)
    return TwoScaleParameters(
        fast_self=fast[0], fast_cross=fast[1], fast_s=fast_s, slow_self=slow[0], slow_cross=slow[1], beta=beta,
        gamma=gamma, horizon_s=1e6, lambda_base=rate * (1.0 - n),
    )  # fmt: skip


# the first two have the sizes found on SPY and AIG, the others what is far from them
WELL = [
    truth((0.44, 0.04), 0.0036, (0.44, 0.01), 0.05, 1.3),
    truth((0.31, 0.06), 0.0035, (0.38, 0.13), 0.05, 1.3),
    truth((0.2, 0.1), 0.02, (0.3, 0.1), 0.5, 1.6),
    truth((0.5, 0.0), 0.001, (0.2, 0.1), 0.2, 2.0),
]


def spans_for(events: int, count: int, rate: float = 5.0) -> list[tuple[int, int]]:
    """Sessions, one a day, that hold about so many events."""
    length = int(events / (2.0 * rate) / count * 1e9)
    return [(k * DAY_NS, k * DAY_NS + length) for k in range(count)]


def settle(p: TwoScaleParameters, spans: list[tuple[int, int]], **more: object) -> TwoScaleParameters:
    """The record with its horizon set to the sessions."""
    return msgspec.structs.replace(p, horizon_s=(spans[0][1] - spans[0][0]) * 1e-9, **more)


def well_specified(seed: int, events: int) -> Made:
    """The model itself, four parameter sets in turn, three sessions with a profile, or one without."""
    spans = spans_for(events, 1 if seed % 2 else 3)
    more: dict[str, object] = {}
    if len(spans) == 3:
        shape = 1.0 + 0.8 * np.linspace(-1, 1, 13) ** 2
        more["profile"] = tuple((shape / shape.mean()).tolist())
    p = settle(WELL[(seed // 2) % len(WELL)], spans, **more)
    return simulate_two_scale_hawkes(p, sessions=spans, seed=seed), spans, {}


def coarse_clock(seed: int, events: int) -> Made:
    """The first two parameter sets through a clock of 1 ms, orders of one stamp and side merged."""
    spans = spans_for(events, 3)
    p = settle(WELL[seed % 2], spans)
    time_ns, side = simulate_two_scale_hawkes(p, sessions=spans, seed=seed)
    stamp = time_ns // MS * MS
    key = stamp * 2 + (side > 0)
    _, first = np.unique(key, return_index=True)
    first.sort()
    return (stamp[first], side[first]), spans, {"resolution_ns": MS}


def one_power_law(seed: int, events: int) -> Made:
    """The plain model: one power law is enough."""
    p = one_scale.truth(0.7, 0.5, 2.0)
    spans = one_scale.sessions_for(p, events, 1)
    return one_scale.simulate_hawkes(p, sessions=spans, seed=seed), spans, {}


def regime_change(seed: int, events: int) -> Made:
    """The slow part's answers fall from 0.45 to 0.25 in the held-out part, at the same mean rate."""
    spans = spans_for(events, 1)
    end = spans[0][1]
    cut = int(0.8 * end)
    before = settle(WELL[0], [(0, cut)])
    after = settle(truth((0.44, 0.04), 0.0036, (0.24, 0.01), 0.05, 1.3), [(0, end - cut)])
    a = simulate_two_scale_hawkes(before, sessions=[(0, cut)], seed=seed)
    b = simulate_two_scale_hawkes(after, sessions=[(cut, end)], seed=seed + 10_000)
    return (np.concatenate([a[0], b[0]]), np.concatenate([a[1], b[1]])), spans, {}


def uncorrected_season(seed: int, events: int) -> Made:
    """A 3:1 U-shape over five sessions, fitted without a profile."""
    spans = spans_for(events, 5)
    shape = 1.0 + 2.0 * np.linspace(-1, 1, 13) ** 2
    p = settle(WELL[1], spans, profile=tuple((shape / shape.mean()).tolist()))
    return simulate_two_scale_hawkes(p, sessions=spans, seed=seed), spans, {"profile_bins": 1}


def doubled_baseline(seed: int, events: int) -> Made:
    """The baseline doubles where the held-out part begins: the level follows, and the fit should stand."""
    spans = spans_for(events, 1)
    end = spans[0][1]
    cut = int(0.8 * end)
    p = settle(WELL[1], [(0, end)])
    more = msgspec.structs.replace(p, lambda_base=2.0 * p.lambda_base)
    a = simulate_two_scale_hawkes(p, sessions=[(0, cut)], seed=seed)
    b = simulate_two_scale_hawkes(more, sessions=[(cut, end)], seed=seed + 10_000)
    return (np.concatenate([a[0], b[0]]), np.concatenate([a[1], b[1]])), spans, {}


ALONE = {"resolution", "ks_distance_buy", "ks_distance_sell"}
CASES: dict[str, Case] = {
    "well_specified": Case(well_specified, lambda v, _, failed: v == "RESTRICTED" and not failed),
    "coarse_clock": Case(
        coarse_clock, lambda v, r, failed: v == "RESTRICTED" and "RESOLUTION_LIMITED" in r and failed <= ALONE
    ),
    "one_power_law": Case(one_power_law, lambda v, r, _: v == "RESTRICTED" and "POWER_LAW_IS_ENOUGH" in r),
    "poisson": Case(one_scale.poisson, lambda v, _, __: v == "NO_SELF_EXCITATION"),
    "regime_change": Case(regime_change, lambda v, _, failed: v == "FAIL" and "stability" in failed),
    "regime_change_one_scale": Case(
        one_scale.regime_change, lambda v, _, failed: v == "FAIL" and "stability" in failed
    ),
    "uncorrected_season": Case(
        uncorrected_season, lambda v, _, failed: v == "FAIL" and "seasonality" in failed
    ),
    "doubled_baseline": Case(doubled_baseline, lambda v, _, failed: v == "RESTRICTED" and not failed),
}


def judge(job: tuple[str, int, int]) -> tuple[str, bool, str, str]:
    """Make one data set, fit it, and say whether it got its right name."""
    name, seed, events = job
    (time_ns, side), spans, options = CASES[name].make(seed, events)
    fit = fit_two_scale_hawkes((time_ns, side), sessions=spans, threads=1, seed=seed, **options)  # type: ignore[arg-type]
    failed = {gate.name for gate in fit.gates if gate.passed is False}
    right = CASES[name].right(str(fit.verdict), fit.reason, failed)
    return name, right, str(fit.verdict), ",".join(sorted(failed))


if __name__ == "__main__":
    one_scale.main(__doc__, judge, tuple(CASES))
