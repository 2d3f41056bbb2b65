"""Standard errors are honest on the simulated market; the larger table is benchmarks/bench_coverage.py."""

from __future__ import annotations

import math

import numpy as np

from calibrig.calibration import fit_quoting, fit_signal
from calibrig.market import simulate_market

SEEDS = range(100, 108)


def test_truth_lies_within_the_stated_errors() -> None:
    z: dict[str, list[float]] = {
        name: [] for name in ("sigma", "kappa", "arrival_rate", "coefficient", "r_squared")
    }
    for seed in SEEDS:
        simulated = simulate_market(seed=seed, sessions=4, session_s=3_600.0)
        market, truth = simulated.market, simulated.truth
        quoting = fit_quoting(market, seed=seed)
        for name in ("sigma", "kappa", "arrival_rate"):
            error = quoting.standard_errors[name]
            z[name].append((getattr(quoting.parameters, name) - getattr(truth, name)) / error)
        slope = fit_signal(market, horizon_s=truth.signal_horizon_s, controls=1, replicas=200).imbalance
        z["coefficient"].append(
            (slope.coefficient - truth.signal_coefficient_ticks) / slope.coefficient_error
        )
        z["r_squared"].append((slope.r_squared - truth.signal_r_squared) / slope.r_squared_error)
    n = len(SEEDS)
    for name, values in z.items():
        # mean of n standard normals within 3.3 deviations, and their sum of squares within the 0.1 % tails
        assert abs(np.mean(values)) < 3.3 / math.sqrt(n), (name, values)
        assert 0.85 < np.sum(np.square(values)) < 26.1, (name, values)
