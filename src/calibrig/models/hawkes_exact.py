"""The exact O(N^2) log-likelihood and its gradient: slow, and the yardstick of everything faster."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["exact_log_likelihood"]

Float64Array = NDArray[np.float64]


def exact_log_likelihood(
    theta: ArrayLike, time_s: ArrayLike, side_index: ArrayLike, end_s: float
) -> tuple[float, Float64Array]:
    """Sum over all pairs: log-likelihood on [0, end_s] and its gradient, constant profile, one session.

    Parameters
    ----------
    theta : array of float64, shape (5,)
        lambda_base, alpha_self, alpha_cross, beta, gamma.
    time_s : array of float64, shape (n,)
        Event times, s; an event excites strictly later times only.
    side_index : array of int, shape (n,)
        0 buy, 1 sell.
    end_s : float
        End of observation, s.

    Returns
    -------
    (float, ndarray of float64, shape (5,))
        Log-likelihood and its gradient in theta.

    Examples
    --------
    >>> value, gradient = exact_log_likelihood([1.0, 0.3, 0.1, 0.5, 2.0], [1.0], [0], 2.0)
    >>> round(value, 12)  # log 1 - 2 * 2 - 0.4 * (1 / 0.5 - 1 / 1.5)
    -4.533333333333
    """
    mu, alpha_self, alpha_cross, beta, gamma = np.asarray(theta, dtype=np.float64)
    t = np.asarray(time_s, dtype=np.float64)
    m = np.asarray(side_index)
    value = -2.0 * mu * end_s
    gradient = np.zeros(5)
    gradient[0] = -2.0 * end_s
    for i in range(len(t)):
        tau = t[i] - t[:i]
        shifted = beta + tau
        kernel = np.where(tau > 0.0, shifted**-gamma, 0.0)
        same = m[:i] == m[i]
        alpha = np.where(same, alpha_self, alpha_cross)
        intensity = mu + alpha @ kernel
        value += np.log(intensity)
        gradient += (
            np.array(
                [
                    1.0,
                    kernel[same].sum(),
                    kernel[~same].sum(),
                    -gamma * (alpha @ (kernel / shifted)),
                    -(alpha @ (kernel * np.log(shifted))),
                ]
            )
            / intensity
        )
    near, far = beta, beta + end_s - t
    g = gamma - 1.0
    mass = (near**-g - far**-g) / g
    mass_beta = far**-gamma - near**-gamma
    mass_gamma = (far**-g * np.log(far) - near**-g * np.log(near)) / g - mass / g
    alpha = alpha_self + alpha_cross
    value -= alpha * mass.sum()
    gradient -= np.array([0.0, mass.sum(), mass.sum(), alpha * mass_beta.sum(), alpha * mass_gamma.sum()])
    return float(value), gradient
