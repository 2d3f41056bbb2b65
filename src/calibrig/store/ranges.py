"""The typical ranges of the product's source document: outside them a version is stored with a warning."""

from __future__ import annotations

from calibrig.store.record import Parameters

__all__ = ["TYPICAL_RANGES", "check_typical_ranges"]

TYPICAL_RANGES: dict[str, dict[str, tuple[float, float]]] = {
    "HawkesParameters": {
        "alpha_self": (0.1, 0.5),
        "alpha_cross": (0.05, 0.2),
        "beta": (0.1, 1.0),
        "gamma": (1.5, 3.0),
        "lambda_base": (1.0, 10.0),
        "calibration_r_squared": (0.8, 1.0),
        "calibration_samples": (1_000_000, 2.0**63),
    },
    "AvellanedaStoikovParameters": {
        "gamma": (0.01, 0.5),
        "sigma": (0.2, 2.0),
        "kappa": (0.1, 10.0),
        "time_horizon_seconds": (60.0, 3600.0),
        "backtest_sharpe": (2.0, 2.0**63),
    },
}


def _words(low: float, high: float) -> str:
    return f"at least {low:g}" if high >= 2.0**63 else f"{low:g} to {high:g}"


def check_typical_ranges(parameters: Parameters) -> tuple[str, ...]:
    """Say which fields lie outside their typical range; none of it is an error.

    Examples
    --------
    >>> from calibrig import HawkesParameters
    >>> check_typical_ranges(HawkesParameters(alpha_self=0.3, alpha_cross=0.1, beta=5.0, gamma=2.0, lambda_base=2.0))
    ('beta is 5, typically 0.1 to 1',)
    """
    ranges = TYPICAL_RANGES.get(type(parameters).__name__, {})
    found = []
    for field, (low, high) in ranges.items():
        value = getattr(parameters, field)
        if value is not None and not low <= value <= high:
            found.append(f"{field} is {value:g}, typically {_words(low, high)}")
    return tuple(found)
