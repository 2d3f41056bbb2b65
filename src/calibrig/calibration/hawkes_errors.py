"""Standard errors of a Hawkes fit: from the Hessian, and from the scores of whole sessions."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from calibrig.calibration.hawkes_search import SEARCH_NAMES, Optimum
from calibrig.models.hawkes_coordinates import search_by_field
from calibrig.models.hawkes_passes import HawkesLikelihood
from calibrig.parameters import HawkesParameters

__all__ = ["covariance", "field_errors", "sandwich"]

Float64Array = NDArray[np.float64]

FIELD_NAMES = ("lambda_base", "alpha_self", "alpha_cross", "beta", "gamma", "asymmetry")
_FEWEST_SESSIONS = 8


def covariance(optimum: Optimum) -> Float64Array:
    """Inverse observed information in u, shape (6, 6); nan where a parameter is fixed or not identified."""
    out = np.full((6, 6), math.nan)
    held = np.array([name in optimum.at_bound for name in SEARCH_NAMES])
    free = optimum.free & ~held
    information = -optimum.evaluation.hessian[np.ix_(free, free)]
    scale = np.sqrt(np.maximum(np.diag(information), 1e-300))
    values, vectors = np.linalg.eigh(information / np.outer(scale, scale))
    if np.any(values <= 1e-12):
        return out
    inverse = (vectors / values) @ vectors.T / np.outer(scale, scale)
    out[np.ix_(free, free)] = inverse
    return out


def sandwich(likelihood: HawkesLikelihood, optimum: Optimum, bread: Float64Array) -> Float64Array | None:
    """Covariance from the scores of sessions (White 1982), shape (6, 6); None under eight sessions."""
    if len(likelihood.events.sessions) < _FEWEST_SESSIONS:
        return None
    scores = np.stack([part.gradient for part in likelihood.evaluate_sessions(optimum.u)])
    sessions = len(scores)
    known = np.isfinite(np.diag(bread))
    middle = scores.T @ scores * sessions / (sessions - 1)
    out = np.full((6, 6), math.nan)
    inner = bread[np.ix_(known, known)]
    out[np.ix_(known, known)] = inner @ middle[np.ix_(known, known)] @ inner
    return out


def field_errors(parameters: HawkesParameters, cov: Float64Array) -> dict[str, float]:
    """Standard errors by field name, and of n_self, n_cross and branching_ratio, by the delta method."""
    known = np.isfinite(np.diag(cov))
    filled = np.where(np.isfinite(cov), cov, 0.0)
    to_field = np.linalg.inv(search_by_field(parameters))
    by_field = to_field @ filled @ to_field.T
    errors: dict[str, float] = {}
    for k, name in enumerate(FIELD_NAMES):
        needs = known[[k]] if k not in (1, 2) else known[[k, 3, 4]]
        errors[name] = math.sqrt(max(float(by_field[k, k]), 0.0)) if needs.all() else math.nan
    n = np.array([0.0, parameters.n_self, parameters.n_cross, 0.0, 0.0, 0.0])
    for name, along in (
        ("n_self", n * [0, 1, 0, 0, 0, 0]),
        ("n_cross", n * [0, 0, 1, 0, 0, 0]),
        ("branching_ratio", n),
    ):
        used = along != 0.0
        value = math.sqrt(max(float(along @ filled @ along), 0.0)) if known[used].all() else math.nan
        errors[name] = value
    return errors
