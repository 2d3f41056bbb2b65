"""Are the standard errors honest: over seeds of the simulated market, z = (estimate - truth) / error per parameter."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from calibrig.calibration import fit_hawkes, fit_quoting, fit_signal
from calibrig.market import simulate_market

SEEDS = 40
HAWKES = ("lambda_base", "alpha_self", "alpha_cross", "beta", "gamma", "asymmetry", "n_self", "n_cross")


def measure_z(seed: int) -> dict[str, float]:
    """Return the z-score of every parameter of one simulated market (5 sessions of 2 hours, 250,000 orders)."""
    simulated = simulate_market(seed=seed)
    market, truth = simulated.market, simulated.truth
    hawkes = fit_hawkes(market.trades, seed=seed)
    quoting = fit_quoting(market, seed=seed)
    signal = fit_signal(
        market, hawkes=hawkes.parameters, horizon_s=truth.signal_horizon_s, controls=1, seed=seed
    )
    z = {}
    for name in HAWKES:
        error = hawkes.standard_errors.get(name, math.nan)
        z[f"hawkes {name}"] = (getattr(hawkes.parameters, name) - getattr(truth.hawkes, name)) / error
    for name in ("sigma", "kappa", "arrival_rate"):
        z[name] = (getattr(quoting.parameters, name) - getattr(truth, name)) / quoting.standard_errors[name]
    slope = signal.imbalance
    z["imbalance coefficient"] = (
        slope.coefficient - truth.signal_coefficient_ticks
    ) / slope.coefficient_error
    z["imbalance R^2"] = (slope.r_squared - truth.signal_r_squared) / slope.r_squared_error
    return z


def run() -> list[dict[str, Any]]:
    """Measure coverage of the 95 % intervals and the spread of z over ``SEEDS`` seeds."""
    rows = [measure_z(seed) for seed in range(SEEDS)]
    results = []
    for name in rows[0]:
        z = np.array([row[name] for row in rows])
        share, spread = float(np.mean(np.abs(z) < 1.96)), float(np.std(z, ddof=1))
        results.append(
            {
                "claim": f"z of {name}: standard deviation over {SEEDS} seeds",
                "value": spread,
                "unit": "",
                "mean": float(z.mean()),
                "coverage_of_95_percent_interval": share,
                "reach": "0.7 .. 1.3, and the 95 % interval covers in at least 16 of 20",
                "holds": 0.7 <= spread <= 1.3 and share >= 0.8,
            }
        )
    return results
