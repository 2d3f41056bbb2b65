"""The coordinates of a Hawkes search, and how they map to the record's fields.

``u = (log lambda_base, log n_self, log n_cross, log beta, log(gamma - 1), asymmetry)``.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from calibrig.parameters import HawkesParameters

__all__ = ["from_search", "search_by_field", "to_search"]

Float64Array = NDArray[np.float64]


def to_search(parameters: HawkesParameters) -> Float64Array:
    """Return u of a record; a ratio of 0 becomes exp(-50).

    Examples
    --------
    >>> p = HawkesParameters(alpha_self=0.3, alpha_cross=0.1, beta=0.5, gamma=2.0, lambda_base=1.0)
    >>> [round(float(x), 3) for x in to_search(p)]
    [0.0, -0.511, -1.609, -0.693, 0.0, 0.0]
    """
    tiny = math.exp(-50.0)
    return np.array(
        [
            math.log(parameters.lambda_base),
            math.log(max(parameters.n_self, tiny)),
            math.log(max(parameters.n_cross, tiny)),
            math.log(parameters.beta),
            math.log(parameters.gamma - 1.0),
            parameters.asymmetry,
        ]
    )


def from_search(u: ArrayLike, *, profile: tuple[float, ...] = (1.0,)) -> HawkesParameters:
    """Return the record of u.

    Examples
    --------
    >>> p = from_search([0.0, math.log(0.6), math.log(0.2), math.log(0.5), 0.0, 0.0])
    >>> round(p.alpha_self, 12), round(p.alpha_cross, 12), p.gamma
    (0.3, 0.1, 2.0)
    """
    mu, n_self, n_cross, beta, g = np.exp(np.asarray(u, dtype=np.float64)[:5]).tolist()
    scale = g * beta**g
    return HawkesParameters(
        alpha_self=n_self * scale,
        alpha_cross=n_cross * scale,
        beta=beta,
        gamma=1.0 + g,
        lambda_base=mu,
        asymmetry=float(np.asarray(u)[5]),
        profile=profile,
    )


def search_by_field(parameters: HawkesParameters) -> Float64Array:
    """Jacobian du/dtheta, theta = (lambda_base, alpha_self, alpha_cross, beta, gamma, asymmetry), shape (6, 6)."""
    g = parameters.gamma - 1.0
    tiny = math.exp(-50.0)
    jacobian = np.zeros((6, 6))
    jacobian[0, 0] = 1.0 / parameters.lambda_base
    for row, alpha in ((1, parameters.alpha_self), (2, parameters.alpha_cross)):
        jacobian[row, row] = 1.0 / max(alpha, tiny)
        jacobian[row, 3] = -g / parameters.beta
        jacobian[row, 4] = -math.log(parameters.beta) - 1.0 / g
    jacobian[3, 3] = 1.0 / parameters.beta
    jacobian[4, 4] = 1.0 / g
    jacobian[5, 5] = 1.0
    return jacobian
