"""The exact O(N^2) log-likelihood and its gradient: slow, and the yardstick of everything faster."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from calibrig.parameters.hawkes_two_scale import TwoScaleParameters

__all__ = ["exact_log_likelihood", "exact_two_scale_log_likelihood"]

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


def exact_two_scale_log_likelihood(
    parameters: TwoScaleParameters, time_s: ArrayLike, side_index: ArrayLike, end_s: float
) -> float:
    """Sum over all pairs for two time scales: log-likelihood on [0, end_s], flat profile, one session, level 1.

    Examples
    --------
    >>> p = TwoScaleParameters(fast_self=0.5, fast_cross=0.0, fast_s=1.0, slow_self=0.0, slow_cross=0.0, beta=0.5,
    ...     gamma=2.0, horizon_s=10.0, lambda_base=1.0)
    >>> value = exact_two_scale_log_likelihood(p, [1.0], [0], 2.0)
    >>> round(value, 12)  # log 1 - 2 * 2 - 0.5 * (1 - 1/e)
    -4.316060279414
    """
    p = parameters
    t = np.asarray(time_s, dtype=np.float64)
    m = np.asarray(side_index)
    g = p.gamma - 1.0
    whole = 1.0 - (1.0 + p.horizon_s / p.beta) ** -g
    base = p.lambda_base * np.exp(np.where(m == 0, p.asymmetry, -p.asymmetry))
    value = -2.0 * p.lambda_base * float(np.cosh(p.asymmetry)) * end_s
    for i in range(len(t)):
        tau = t[i] - t[:i]
        fast = np.exp(-tau / p.fast_s) / p.fast_s
        slow = g / p.beta * (1.0 + tau / p.beta) ** -p.gamma / whole
        same = m[:i] == m[i]
        intensity = base[i] + np.where(same, p.fast_self, p.fast_cross) @ np.where(tau > 0.0, fast, 0.0)
        intensity += np.where(same, p.slow_self, p.slow_cross) @ np.where(tau > 0.0, slow, 0.0)
        value += float(np.log(intensity))
    left = end_s - t
    value -= p.n_fast * float((1.0 - np.exp(-left / p.fast_s)).sum())
    slow_mass = float((1.0 - (1.0 + left / p.beta) ** -g).sum()) / whole
    return float(value - p.n_slow * slow_mass)
