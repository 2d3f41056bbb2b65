"""Both errors of the profit gates: how often worthless strategies pass, and how often a true Sharpe of 5 does."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibrig.calibration import judge_profit
from calibrig.parameters import Verdict

RUNS = 400
Draw = Callable[[np.random.Generator, int], NDArray[np.float64]]
EDGE = 5.0 / math.sqrt(252.0)


def _insurance(rng: np.random.Generator, days: int) -> NDArray[np.float64]:
    return np.where(rng.random(days) < 1 / 60, -20.0, 20 / 59) + 0.1 * rng.standard_normal(days)


def _dependent(rng: np.random.Generator, days: int) -> NDArray[np.float64]:
    return np.convolve(rng.standard_normal(days + 1), [1.0, 0.3], "valid")


CASES: tuple[tuple[str, Draw, dict[str, Any], bool], ...] = (
    ("no edge, normal days", lambda rng, n: rng.standard_normal(n), {}, False),
    ("no edge, Student t with 3 degrees", lambda rng, n: rng.standard_t(3, n), {}, False),
    ("no edge, moving average 0.3", _dependent, {}, False),
    (
        "seller of insurance, scenarios run",
        _insurance,
        {"loss_budget": 10.0, "scenarios": {"crash": -20.0}},
        False,
    ),
    ("Sharpe 5, normal days", lambda rng, n: rng.standard_normal(n) + EDGE, {"loss_budget": 10.0}, True),
    (
        "Sharpe 5, Student t with 4 degrees",
        lambda rng, n: rng.standard_t(4, n) / math.sqrt(2.0) + EDGE,
        {"loss_budget": 10.0},
        True,
    ),
)


def pass_share(draw: Draw, days: int, settings: dict[str, Any]) -> float:
    """Share of ``RUNS`` seeded histories that pass every gate; own fills taken as reconciled."""
    rng = np.random.default_rng(0)
    passed = 0
    for seed in range(RUNS):
        judged = judge_profit(draw(rng, days), reconciled=True, seed=seed, **settings)
        passed += judged.verdict is Verdict.PASS
    return passed / RUNS


def run() -> list[dict[str, Any]]:
    """Measure at 60, 120 and 250 days; claims are made at 120."""
    results = []
    for name, draw, settings, good in CASES:
        shares = {days: pass_share(draw, days, settings) for days in (60, 120, 250)}
        error = math.sqrt(max(shares[120] * (1 - shares[120]), 1e-4) / RUNS)
        results.append(
            {
                "claim": f"{name}: share that passes at 120 days",
                "value": shares[120],
                "unit": "",
                "standard_error": error,
                "by_days": {str(days): share for days, share in shares.items()},
                "reach": ">= 0.80" if good else "<= 0.05",
                "holds": shares[120] >= 0.8 if good else shares[120] <= 0.05,
            }
        )
    return results
