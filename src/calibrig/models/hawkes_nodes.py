"""The power-law kernel as a sum of exponentials on fixed nodes, with analytic derivatives of its weights.

``(beta + tau)^-gamma = 1/Gamma(gamma) * integral of x^(gamma-1) exp(-(beta + tau) x) dx``; the trapezoid rule in
log x on ``x_k = x_0 r^k`` gives weights that depend on (beta, gamma) while the nodes, and with them the states of
the recursion, do not. Error of the rule: about ``2 |Gamma(gamma + 2 pi i / ln r)| / Gamma(gamma)``, 4e-5 at
gamma = 2 and r = 2, 1e-10 at r = sqrt 2.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["ExponentialSum", "NodeSet", "choose_nodes", "exponential_weights", "power_law_weights"]

Float64Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSet:
    """Nodes in chains: within a chain each is twice the one before, so ``exp(-x dt)`` follows by squaring.

    Attributes
    ----------
    start : ndarray of float64, shape (chains,)
        First node of each chain, 1/s.
    depth : int
        Nodes per chain.
    log_ratio : float
        ``ln r`` between neighbours in the sorted grid.
    """

    start: Float64Array
    depth: int
    log_ratio: float

    @property
    def rates(self) -> Float64Array:
        """All nodes in chain order, 1/s, shape (M,)."""
        grid: Float64Array = (self.start[:, None] * 2.0 ** np.arange(self.depth)).reshape(-1)
        return grid

    def __len__(self) -> int:
        return len(self.start) * self.depth


def choose_nodes(
    *,
    beta_low_s: float,
    horizon_s: float,
    gamma: float = 2.0,
    per_octave: int = 1,
    low_margin: float = 0.03,
    high_margin: float = 24.0,
    chain: int = 8,
) -> NodeSet:
    """Choose nodes that hold for every beta above ``beta_low_s`` and every gap below ``horizon_s``.

    Parameters
    ----------
    beta_low_s : float
        Smallest time shift to be represented, s.
    horizon_s : float
        Longest gap that matters: the longest session, s.
    gamma : float
        Largest exponent expected; it moves the upper end.
    per_octave : int
        1 for r = 2, 2 for r = sqrt 2.
    low_margin, high_margin : float
        The grid spans ``low_margin / horizon_s`` to ``(high_margin + 2 gamma) / beta_low_s``.
    chain : int
        Longest chain of squarings.

    Examples
    --------
    >>> nodes = choose_nodes(beta_low_s=0.25, horizon_s=23_400.0)
    >>> bool(nodes.rates.min() < 0.03 / 23_400 * 1.01), bool(nodes.rates.max() > 24 / 0.25), len(nodes) <= 36
    (True, True, True)
    """
    low = low_margin / horizon_s
    high = (high_margin + 2.0 * gamma) / beta_low_s
    octaves = math.ceil(math.log2(max(high / low, 2.0))) + 1
    groups = max(1, math.ceil(octaves / chain))
    depth = math.ceil(octaves / groups)
    fine = 2.0 ** (np.arange(per_octave) / per_octave)
    start = (low * 2.0 ** (depth * np.arange(groups))[:, None] * fine).reshape(-1)
    return NodeSet(start=np.ascontiguousarray(start), depth=depth, log_ratio=math.log(2.0) / per_octave)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExponentialSum:
    """A kernel of unit mass, ``sum of c_k exp(-x_k tau)``, with derivatives along ``v = log beta``, ``w = log(gamma - 1)``.

    Attributes
    ----------
    rates : ndarray, shape (M,)
        The nodes x_k, 1/s.
    rows : ndarray, shape (6, M)
        c, c_v, c_w, c_vv, c_vw, c_ww, 1/s.
    """

    rates: Float64Array
    rows: Float64Array

    @property
    def masses(self) -> Float64Array:
        """Integral of each term and of its derivatives: ``rows / rates``, shape (6, M)."""
        out: Float64Array = self.rows / self.rates
        return out

    def __call__(self, tau_s: Float64Array) -> Float64Array:
        """Evaluate the kernel, 1/s."""
        out: Float64Array = np.exp(-np.multiply.outer(tau_s, self.rates)) @ self.rows[0]
        return out


def power_law_weights(nodes: NodeSet, *, beta: float, gamma: float) -> ExponentialSum:
    """Weights of ``(gamma - 1) beta^(gamma-1) (beta + tau)^-gamma``, which has mass 1.

    Examples
    --------
    >>> nodes = choose_nodes(beta_low_s=0.5, horizon_s=1e4, per_octave=2, low_margin=1e-5)
    >>> kernel = power_law_weights(nodes, beta=0.5, gamma=2.0)
    >>> round(float(kernel(np.array([1.5]))[0]), 9)  # 0.5 / 2^2
    0.125
    """
    x = nodes.rates
    g = gamma - 1.0
    psi, psi_1 = digamma(g), trigamma(g)
    log_bx = np.log(beta * x)
    c = np.exp(math.log(nodes.log_ratio) + g * log_bx + np.log(x) - beta * x - math.lgamma(g))
    a_v = g - beta * x
    a_vv = -beta * x
    a_w = g * (log_bx - psi)
    a_ww = a_w - g * g * psi_1
    a_vw = np.full_like(x, g)
    # Nodes below the first: exp(-x tau) is 1 there, so their weights, a geometric series, go to the first.
    first = int(np.argmin(x))
    ratio = math.exp(nodes.log_ratio * gamma)
    c[first] *= ratio / (ratio - 1.0)
    tail_g = -nodes.log_ratio / (ratio - 1.0)
    tail_gg = nodes.log_ratio**2 * ratio / (ratio - 1.0) ** 2
    a_w[first] += g * tail_g
    a_ww[first] += g * tail_g + g * g * tail_gg
    rows = np.stack(
        [c, c * a_v, c * a_w, c * (a_v * a_v + a_vv), c * (a_v * a_w + a_vw), c * (a_w * a_w + a_ww)]
    )
    return ExponentialSum(rates=x, rows=rows)


def exponential_weights(nodes: NodeSet, *, decay: float, points: int = 10) -> ExponentialSum:
    """Weights of ``delta exp(-delta tau)`` on the same nodes, by Lagrange interpolation in log x.

    The states of the recursion serve both kernels. ``v = log(1 / delta)`` plays the part of log beta; the rows
    of w are 0. Error about 1e-3 delta on nodes with r = 2, 1e-5 delta with r = sqrt 2: right for a search; exact
    where delta is a node. A single node is taken to be delta itself; its derivatives are then nan.

    Examples
    --------
    >>> nodes = choose_nodes(beta_low_s=0.1, horizon_s=1e4, per_octave=2)
    >>> kernel = exponential_weights(nodes, decay=1.5)
    >>> bool(abs(kernel(np.array([1.0]))[0] / (1.5 * math.exp(-1.5)) - 1) < 1e-5)
    True
    """
    x = nodes.rates
    if len(x) == 1:
        return ExponentialSum(rates=x, rows=np.concatenate([[x], np.full((5, 1), math.nan)]))
    order = np.argsort(x)
    z = (math.log(decay) - math.log(float(x.min()))) / nodes.log_ratio
    low = min(max(math.floor(z) - points // 2 + 1, 0), len(x) - points)
    t = z - low
    rows = np.zeros((6, len(x)))
    basis = _lagrange_basis(points)
    powers = t ** np.arange(points)
    first = np.arange(points) * np.concatenate([[0.0], powers[:-1]])
    second = np.arange(points) * np.concatenate([[0.0], first[:-1]])
    value = basis @ powers
    # d/dv = -d/d log delta; the height delta contributes one more factor each time
    slope = -(basis @ first) / nodes.log_ratio
    bend = (basis @ second) / nodes.log_ratio**2
    k = order[low : low + points]
    rows[0, k] = decay * value
    rows[1, k] = decay * (slope - value)
    rows[3, k] = decay * (bend - 2.0 * slope + value)
    return ExponentialSum(rates=x, rows=rows)


@functools.cache
def _lagrange_basis(points: int) -> Float64Array:
    """Coefficients, lowest power first, of the Lagrange polynomials on the knots 0 .. points - 1."""
    knots = np.arange(points, dtype=np.float64)
    rows = []
    for j in range(points):
        others = np.delete(knots, j)
        rows.append(np.atleast_1d(np.poly(others))[::-1] / float(np.prod(knots[j] - others)))
    basis = np.stack(rows)
    basis.flags.writeable = False
    return basis


def digamma(x: float) -> float:
    """Return psi(x), x > 0: recurrence to x >= 12, then the asymptotic series (Abramowitz, Stegun 6.3.18).

    Examples
    --------
    >>> round(digamma(1.0), 12)  # minus Euler's constant
    -0.577215664902
    """
    shift = 0.0
    while x < 12.0:
        shift -= 1.0 / x
        x += 1.0
    y = 1.0 / (x * x)
    series = y * (1 / 12 - y * (1 / 120 - y * (1 / 252 - y * (1 / 240 - y * (1 / 132 - y * 691 / 32760)))))
    return shift + math.log(x) - 0.5 / x - series


def trigamma(x: float) -> float:
    """Return psi'(x), x > 0 (Abramowitz, Stegun 6.4.12).

    Examples
    --------
    >>> round(trigamma(1.0) - math.pi**2 / 6, 12)
    0.0
    """
    shift = 0.0
    while x < 12.0:
        shift += 1.0 / (x * x)
        x += 1.0
    y = 1.0 / (x * x)
    series = y * (1 / 6 - y * (1 / 30 - y * (1 / 42 - y * (1 / 30 - y * (5 / 66 - y * 691 / 2730)))))
    return shift + 1.0 / x + 0.5 * y + series / x
