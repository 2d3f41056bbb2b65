"""Whether 95 % intervals of the Hawkes fit cover the truth: z-scores over many simulated fits.

Run ``python -m benchmarks.hawkes_coverage --runs 100`` (``--model two-scale`` for two time scales); prints one line
per parameter.
"""

from __future__ import annotations

import argparse
from concurrent.futures import ProcessPoolExecutor

import numpy as np
from numpy.typing import NDArray

from benchmarks import hawkes_two_scale_gates as two_scale_gates
from benchmarks.hawkes_gates import sessions_for, truth
from calibrig import simulate_hawkes, simulate_two_scale_hawkes
from calibrig.calibration.hawkes_errors import covariance
from calibrig.calibration.hawkes_search import SEARCH_NAMES, search_optimum
from calibrig.calibration.hawkes_two_scale_search import search_two_scale
from calibrig.models.hawkes_events import prepare_events
from calibrig.models.hawkes_likelihood import to_search
from calibrig.models.hawkes_two_scale import TWO_SCALE_NAMES, to_two_scale_search


def score(job: tuple[int, int]) -> NDArray[np.float64]:
    """z-scores of one fit, in the search's parameters (logs of the record's)."""
    seed, events = job
    p = truth(0.8, 0.5, 2.0, asymmetry=0.1) if seed % 2 else truth(0.7, 0.01, 1.4)
    spans = sessions_for(p, events, 1)
    sample = prepare_events(*simulate_hawkes(p, sessions=spans, seed=seed), sessions=spans, resolution_ns=1)
    optimum, _ = search_optimum(sample, profile=np.ones(1), threads=1)
    error = np.sqrt(np.diag(covariance(optimum)))
    z: NDArray[np.float64] = (optimum.u - to_search(p)) / error
    return z


def score_two_scale(job: tuple[int, int]) -> NDArray[np.float64]:
    """The same for two time scales."""
    seed, events = job
    spans = two_scale_gates.spans_for(events, 1)
    p = two_scale_gates.settle(two_scale_gates.WELL[seed % 2], spans)
    made = simulate_two_scale_hawkes(p, sessions=spans, seed=seed)
    sample = prepare_events(*made, sessions=spans, resolution_ns=1)
    optimum, _ = search_two_scale(sample, profile=np.ones(1), threads=1)
    error = np.sqrt(np.diag(optimum.covariance()))
    z: NDArray[np.float64] = (optimum.u - to_two_scale_search(p)) / error
    return z


MODELS = {"power-law": (score, SEARCH_NAMES), "two-scale": (score_two_scale, TWO_SCALE_NAMES)}


def run(
    runs: int = 40,
    events: int = 100_000,
    *,
    model: str = "power-law",
    first_seed: int = 0,
    workers: int = 2,
) -> dict[str, object]:
    """Return coverage and spread of the z-scores per parameter."""
    scored_by, names = MODELS[model]
    jobs = [(first_seed + seed, events) for seed in range(runs)]
    with ProcessPoolExecutor(workers) as pool:
        z = np.stack(list(pool.map(scored_by, jobs)))
    return {
        name: {
            "cover_95": float((np.abs(z[:, k]) < 1.96).mean()),
            "z_mean": float(z[:, k].mean()),
            "z_sd": float(z[:, k].std(ddof=1)),
        }
        for k, name in enumerate(names)
    }


def main() -> None:
    """Parse arguments, run, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=40)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--model", choices=list(MODELS), default="power-law")
    arguments = parser.parse_args()
    for name, row in run(arguments.runs, arguments.events, model=arguments.model).items():
        print(f"{name:12} {row}")


if __name__ == "__main__":
    main()
