"""How often the Hawkes gates are right: joint pass rate on well-specified data, right names on known wrong cases.

Run ``python -m benchmarks.hawkes_gates --runs 100`` (``--events`` sets the size, ``--cases`` picks some); it prints
one line per case and a JSON object at the end.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Callable, Collection
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calibrig import HawkesParameters, fit_hawkes, simulate_hawkes
from calibrig.models.hawkes_likelihood import from_search

DAY_NS = 86_400 * 10**9
Events = tuple[NDArray[np.int64], NDArray[np.int8]]


@dataclass(frozen=True)
class Case:
    """One kind of data: how to make it, what to give to the fit, and how its name is recognised."""

    make: Callable[[int, int], tuple[Events, list[tuple[int, int]], dict[str, object]]]
    right: Callable[[str, str], bool]


def truth(n: float, beta: float, gamma: float, rate: float = 5.0, **more: object) -> HawkesParameters:
    """A process with branching ratio n, three quarters of it on the own side, and `rate` events/s a side."""
    u = [np.log(rate * (1 - n)), np.log(0.75 * n), np.log(0.25 * n), np.log(beta), np.log(gamma - 1), 0.0]
    p = from_search(u)
    return HawkesParameters(**{**{f: getattr(p, f) for f in p.__struct_fields__}, **more})  # type: ignore[arg-type]


WELL = [
    truth(0.8, 0.5, 2.0),
    truth(0.6, 0.05, 1.5),
    truth(0.9, 0.2, 1.8),
    truth(0.5, 0.01, 1.3, asymmetry=0.3),
    truth(0.7, 0.001, 1.4),
]


def sessions_for(p: HawkesParameters, events: int, count: int) -> list[tuple[int, int]]:
    """Sessions, one a day, that hold about so many events."""
    rate = 2.0 * p.lambda_base * np.cosh(p.asymmetry) / (1.0 - p.branching_ratio)
    length = int(events / rate / count * 1e9)
    return [(k * DAY_NS, k * DAY_NS + length) for k in range(count)]


def well_specified(seed: int, events: int) -> tuple[Events, list[tuple[int, int]], dict[str, object]]:
    """The model itself, five parameter sets in turn, three sessions with a profile, or one without."""
    p = WELL[seed % len(WELL)]
    count = 1 if seed % 2 else 3
    if count == 3:
        shape = 1.0 + 0.8 * np.linspace(-1, 1, 13) ** 2
        p = HawkesParameters(
            **{f: getattr(p, f) for f in p.__struct_fields__ if f != "profile"},
            profile=tuple(shape / shape.mean()),
        )
    spans = sessions_for(p, events, count)
    return simulate_hawkes(p, sessions=spans, seed=seed), spans, {}


def poisson(seed: int, events: int) -> tuple[Events, list[tuple[int, int]], dict[str, object]]:
    """No self-excitation at all."""
    p = HawkesParameters(alpha_self=0.0, alpha_cross=0.0, beta=0.5, gamma=2.0, lambda_base=5.0)
    spans = sessions_for(p, events, 1)
    return simulate_hawkes(p, sessions=spans, seed=seed), spans, {}


def exponential(seed: int, events: int) -> tuple[Events, list[tuple[int, int]], dict[str, object]]:
    """An exponential kernel of decay 2/s, n = 0.8, by its branching form."""
    rng = np.random.default_rng(seed)
    length = events / 10.0
    times = rng.uniform(0, length, rng.poisson(2.0 * length))
    sides = rng.choice(np.array([1, -1], dtype=np.int8), len(times))
    all_times, all_sides = [times], [sides]
    while len(times):
        children = rng.poisson(0.8, len(times))
        times = np.repeat(times, children) + rng.exponential(0.5, int(children.sum()))
        sides = np.repeat(sides, children) * np.where(rng.random(len(times)) < 0.25, -1, 1).astype(np.int8)
        keep = times < length
        times, sides = times[keep], sides[keep]
        all_times.append(times)
        all_sides.append(sides)
    t, s = np.concatenate(all_times), np.concatenate(all_sides)
    order = np.argsort(t)
    return ((t[order] * 1e9).astype(np.int64), s[order]), [(0, int(length * 1e9))], {}


def child_fills(seed: int, events: int) -> tuple[Events, list[tuple[int, int]], dict[str, object]]:
    """A third of the orders print two to four trades within a millisecond."""
    p = truth(0.7, 0.5, 2.0)
    spans = sessions_for(p, int(events / 1.6), 1)
    time_ns, side = simulate_hawkes(p, sessions=spans, seed=seed)
    rng = np.random.default_rng(seed)
    extra = np.where(rng.random(len(time_ns)) < 0.3, rng.integers(1, 4, len(time_ns)), 0)
    more = np.repeat(time_ns, extra) + rng.integers(1, 10**6, int(extra.sum()))
    t, s = np.concatenate([time_ns, more]), np.concatenate([side, np.repeat(side, extra)])
    keep = t < spans[0][1]
    order = np.argsort(t[keep], kind="stable")
    return (t[keep][order], s[keep][order]), spans, {}


def regime_change(seed: int, events: int) -> tuple[Events, list[tuple[int, int]], dict[str, object]]:
    """The branching ratio falls from 0.8 to 0.6 in the held-out part, at the same mean rate."""
    first, second = truth(0.8, 0.5, 2.0), truth(0.6, 0.5, 2.0)
    spans = sessions_for(first, events, 1)
    end = spans[0][1]
    cut = int(0.8 * end)
    a = simulate_hawkes(first, sessions=[(0, cut)], seed=seed)
    b = simulate_hawkes(second, sessions=[(cut, end)], seed=seed + 10_000)
    return (np.concatenate([a[0], b[0]]), np.concatenate([a[1], b[1]])), spans, {}


def seasonality(seed: int, events: int) -> tuple[Events, list[tuple[int, int]], dict[str, object]]:
    """A 3:1 U-shape over five sessions, fitted without a profile."""
    shape = 1.0 + 2.0 * np.linspace(-1, 1, 13) ** 2
    p = truth(0.8, 0.5, 2.0, profile=tuple(shape / shape.mean()))
    spans = sessions_for(p, events, 5)
    return simulate_hawkes(p, sessions=spans, seed=seed), spans, {"profile_bins": 1}


def coarse_clock(seed: int, events: int) -> tuple[Events, list[tuple[int, int]], dict[str, object]]:
    """Beta of 5 ms seen through a clock of 10 ms."""
    p = truth(0.7, 0.005, 1.5)
    spans = sessions_for(p, events, 1)
    time_ns, side = simulate_hawkes(p, sessions=spans, seed=seed)
    step = 10_000_000
    return (time_ns // step * step, side), spans, {"resolution_ns": step}


CASES: dict[str, Case] = {
    "well_specified": Case(well_specified, lambda verdict, _: verdict == "PASS"),
    "poisson": Case(poisson, lambda verdict, _: verdict == "NO_SELF_EXCITATION"),
    "exponential": Case(exponential, lambda v, r: v == "RESTRICTED" and "EXPONENTIAL_IS_ENOUGH" in r),
    "child_fills": Case(child_fills, lambda verdict, _: verdict == "FAIL"),
    "regime_change": Case(regime_change, lambda verdict, _: verdict == "FAIL"),
    "seasonality": Case(seasonality, lambda v, r: v == "FAIL" and "seasonality" in r),
    "coarse_clock": Case(coarse_clock, lambda _, r: "RESOLUTION_LIMITED" in r),
}


def judge(job: tuple[str, int, int]) -> tuple[str, bool, str, str]:
    """Make one data set, fit it, and say whether it got its right name."""
    name, seed, events = job
    (time_ns, side), spans, options = CASES[name].make(seed, events)
    fit = fit_hawkes((time_ns, side), sessions=spans, threads=1, seed=seed, **options)  # type: ignore[arg-type]
    failed = ",".join(gate.name for gate in fit.gates if gate.passed is False)
    return name, CASES[name].right(str(fit.verdict), fit.reason), str(fit.verdict), failed


Judgement = tuple[str, bool, str, str]


def run(
    runs: int = 20,
    events: int = 100_000,
    names: list[str] | None = None,
    *,
    first_seed: int = 0,
    workers: int = 2,
    judged_by: Callable[[tuple[str, int, int]], Judgement] = judge,
    cases: Collection[str] = tuple(CASES),
) -> dict[str, object]:
    """Return, per case, how many of the runs got the right name, the verdicts and the gates that failed."""
    names = [*names] if names else [*cases]
    jobs = [(name, seed, events) for name in names for seed in range(first_seed, first_seed + runs)]
    out: dict[str, object] = {}
    with ProcessPoolExecutor(workers) as pool:
        results = list(pool.map(judged_by, jobs, chunksize=2))
    for name in names:
        mine = [r for r in results if r[0] == name]
        out[name] = {
            "runs": len(mine),
            "right": sum(r[1] for r in mine),
            "verdicts": dict(Counter(r[2] for r in mine)),
            "failed_gates": dict(Counter(g for r in mine for g in r[3].split(",") if g)),
        }
    return out


def main(
    says: str | None = __doc__,
    judged_by: Callable[[tuple[str, int, int]], Judgement] = judge,
    cases: Collection[str] = tuple(CASES),
) -> None:
    """Parse arguments, run, print."""
    parser = argparse.ArgumentParser(description=says)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--cases", nargs="*", choices=list(cases))
    given = parser.parse_args()
    result = run(
        given.runs, given.events, given.cases, first_seed=given.first_seed, judged_by=judged_by, cases=cases
    )
    for name, row in result.items():
        print(f"{name:24} {row}")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
