"""The Hawkes process with two time scales: kernel weights, and its log-likelihood from sums of exponential states.

Both parts of the kernel are sums over the same fixed nodes, so the native passes serve them unchanged: the intensity
is linear in the ratios, with one pair of columns (own side, other side) per part. Parameters of the search are ``u =
(log lambda_base, asymmetry, log fast_self, log fast_cross, log fast_s, log slow_self, log slow_cross, log beta,
log(gamma - 1))``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from calibrig.models.hawkes_events import HawkesEvents
from calibrig.models.hawkes_nodes import NodeSet, choose_nodes, exponential_weights, power_law_weights
from calibrig.models.hawkes_passes import HawkesLikelihood, Trace
from calibrig.parameters.hawkes_two_scale import TwoScaleParameters

__all__ = [
    "TWO_SCALE_NAMES",
    "TwoScaleColumns",
    "TwoScaleEvaluation",
    "TwoScaleLikelihood",
    "from_two_scale_search",
    "precise_two_scale_nodes",
    "search_two_scale_nodes",
    "slow_weights",
    "to_two_scale_search",
]

Float64Array = NDArray[np.float64]

TWO_SCALE_NAMES = (
    "lambda_base",
    "asymmetry",
    "fast_self",
    "fast_cross",
    "fast_s",
    "slow_self",
    "slow_cross",
    "beta",
    "gamma",
)
_ROWS_AT_ONCE = 1 << 16
_LEAST_INTENSITY = 1e-100


def to_two_scale_search(parameters: TwoScaleParameters) -> Float64Array:
    """Return u of a record; a ratio of 0 becomes exp(-50).

    Examples
    --------
    >>> p = TwoScaleParameters(fast_self=0.3, fast_cross=0.0, fast_s=1.0, slow_self=0.4, slow_cross=0.1, beta=0.5,
    ...     gamma=2.0, horizon_s=100.0, lambda_base=1.0)
    >>> [round(float(x), 3) for x in to_two_scale_search(p)]
    [0.0, 0.0, -1.204, -50.0, 0.0, -0.916, -2.303, -0.693, 0.0]
    """
    p, tiny = parameters, math.exp(-50.0)
    ratios = [math.log(max(x, tiny)) for x in (p.fast_self, p.fast_cross, p.slow_self, p.slow_cross)]
    return np.array(
        [
            math.log(p.lambda_base),
            p.asymmetry,
            *ratios[:2],
            math.log(p.fast_s),
            *ratios[2:],
            math.log(p.beta),
            math.log(p.gamma - 1.0),
        ]
    )


def from_two_scale_search(
    u: ArrayLike,
    *,
    horizon_s: float,
    profile: tuple[float, ...] = (1.0,),
    level_s: float = 300.0,
    level_events: float | None = None,
) -> TwoScaleParameters:
    """Return the record of u.

    Examples
    --------
    >>> from_two_scale_search([0.0, 0.1, -1.0, -3.0, -5.0, -1.0, -3.0, -2.0, 0.0], horizon_s=10.0).gamma
    2.0
    """
    x = np.asarray(u, dtype=np.float64).tolist()
    return TwoScaleParameters(
        lambda_base=math.exp(x[0]),
        asymmetry=x[1],
        fast_self=math.exp(x[2]),
        fast_cross=math.exp(x[3]),
        fast_s=math.exp(x[4]),
        slow_self=math.exp(x[5]),
        slow_cross=math.exp(x[6]),
        beta=math.exp(x[7]),
        gamma=1.0 + math.exp(x[8]),
        horizon_s=horizon_s,
        profile=profile,
        level_s=level_s,
        level_events=level_events,
    )


def slow_weights(nodes: NodeSet, *, beta: float, gamma: float, horizon_s: float) -> Float64Array:
    """Weights of the power law with mass 1 on [0, horizon_s], and their slopes along log beta and log(gamma - 1).

    Examples
    --------
    >>> nodes = choose_nodes(beta_low_s=0.5, horizon_s=1e3, per_octave=2, low_margin=1e-5)
    >>> rows = slow_weights(nodes, beta=0.5, gamma=2.0, horizon_s=1.5)  # the mass up to 1.5 s is 3/4
    >>> round(float(rows[0].sum()), 9)  # 2 / (3/4) at delay 0
    2.666666667
    """
    rows = power_law_weights(nodes, beta=beta, gamma=gamma).rows[:3]
    g = gamma - 1.0
    log_far = math.log1p(horizon_s / beta)
    beyond = math.exp(-g * log_far)
    mass = -math.expm1(-g * log_far)
    slope_v = -g * beyond * horizon_s / (horizon_s + beta)
    slope_w = g * log_far * beyond
    out = np.empty_like(rows)
    out[0] = rows[0] / mass
    out[1] = (rows[1] - out[0] * slope_v) / mass
    out[2] = (rows[2] - out[0] * slope_w) / mass
    return out


def search_two_scale_nodes(events: HawkesEvents, shortest_s: float, *, per_octave: int = 1) -> NodeSet:
    """Nodes, r = 2 unless asked finer, that show both parts down to a time scale of ``shortest_s``."""
    longest = float((events.sessions[:, 1] - events.sessions[:, 0]).max()) * 1e-9
    return choose_nodes(
        beta_low_s=min(shortest_s, longest),
        horizon_s=longest,
        low_margin=0.1 if per_octave == 1 else 0.03,
        high_margin=12.0 if per_octave == 1 else 24.0,
        per_octave=per_octave,
        chain=16,
    )


def precise_two_scale_nodes(events: HawkesEvents, parameters: TwoScaleParameters) -> NodeSet:
    """Nodes for reported values: r = sqrt 2 (finer for a large gamma), with 1 / fast_s among them."""
    longest = float((events.sessions[:, 1] - events.sessions[:, 0]).max()) * 1e-9
    gamma = parameters.gamma
    fine = 2 if gamma < 2.6 else 3 if gamma < 5.0 else 4
    nodes = choose_nodes(
        beta_low_s=min(parameters.beta, parameters.fast_s),
        horizon_s=longest,
        gamma=gamma,
        per_octave=fine,
        low_margin=1e-5,
        high_margin=40.0,
    )
    step = math.log(1.0 / (parameters.fast_s * float(nodes.rates.min()))) / nodes.log_ratio
    shift = math.exp((step - round(step)) * nodes.log_ratio)
    return NodeSet(start=nodes.start * shift, depth=nodes.depth, log_ratio=nodes.log_ratio)


@dataclass(frozen=True, slots=True)
class TwoScaleColumns:
    """What the intensity is linear in, for one shape of the kernel.

    Attributes
    ----------
    traces : tuple of Trace
        Fast part, slow part, then the slopes along log fast_s, log beta and log(gamma - 1) where asked for.
    totals : tuple of float
        Their whole compensators.
    """

    traces: tuple[Trace, ...]
    totals: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class TwoScaleEvaluation:
    """Log-likelihood with its gradient in u and the information: the sum of outer products of event scores."""

    value: float
    gradient: Float64Array
    information: Float64Array


class TwoScaleLikelihood:
    """Log-likelihood of one history under two time scales (without the level).

    Parameters
    ----------
    events : HawkesEvents
        What happened.
    horizon_s : float
        See :class:`TwoScaleParameters`.
    profile : sequence of float
        Time-of-day profile, mean 1.
    threads : int, optional
        Default: as many as the process may use. The result does not depend on it.

    Examples
    --------
    >>> from calibrig.models.hawkes_events import prepare_events
    >>> events = prepare_events([10**9, 2 * 10**9], [1, -1], sessions=[(0, 3 * 10**9)])
    >>> likelihood = TwoScaleLikelihood(events, horizon_s=3.0)
    >>> likelihood.prepare(search_two_scale_nodes(events, 0.1))
    >>> u = [math.log(2.0), 0.0, -50.0, -50.0, -2.0, -50.0, -50.0, -1.0, 0.0]  # Poisson, 2/s a side
    >>> round(likelihood.evaluate(u, slopes=False).value, 9)  # 2 log 2 - 2 * 2 * 3
    -10.613705639
    """

    def __init__(
        self,
        events: HawkesEvents,
        *,
        horizon_s: float,
        profile: ArrayLike = (1.0,),
        threads: int | None = None,
    ) -> None:
        self.events = events
        self.horizon_s = horizon_s
        self.profile = np.ascontiguousarray(profile, dtype=np.float64)
        self._passes = HawkesLikelihood(events, profile=self.profile, threads=threads)
        self._buy = events.side > 0
        self._height = self.profile[events.profile_bins(len(self.profile))]
        self._growth = events.profile_growth_s(self.profile, 0, len(events))
        self._total_s = float(events.profile_totals_s(self.profile).sum())

    def prepare(self, nodes: NodeSet) -> None:
        """Compute the border states on these nodes; later passes reuse them."""
        self._passes.prepare(nodes)

    def columns(self, u: ArrayLike, *, slopes: bool) -> TwoScaleColumns:
        """Follow each part of the kernel that u describes (its shape: fast_s, beta, gamma)."""
        x = np.asarray(u, dtype=np.float64)
        nodes = self._passes.nodes
        fast = exponential_weights(nodes, decay=math.exp(-x[4])).rows
        slow = slow_weights(nodes, beta=math.exp(x[7]), gamma=1.0 + math.exp(x[8]), horizon_s=self.horizon_s)
        rows = [fast[0], slow[0]] + ([fast[1], slow[1], slow[2]] if slopes else [])
        found = [self._passes.excite(np.ascontiguousarray(row)) for row in rows]
        return TwoScaleColumns(tuple(trace for trace, _ in found), tuple(total for _, total in found))

    def evaluate(
        self, u: ArrayLike, *, slopes: bool = True, columns: TwoScaleColumns | None = None
    ) -> TwoScaleEvaluation:
        """Evaluate at u; without slopes along the shape those entries of gradient and information are 0.

        ``columns`` saves the passes where the shape is the one they were made for.
        """
        x = np.asarray(u, dtype=np.float64)
        if columns is None:
            columns = self.columns(x, slopes=slopes)
        mu = math.exp(x[0])
        n = {part: np.exp(x[at : at + 2]) for part, at in ((0, 2), (1, 5))}
        base = mu * self._height * np.where(self._buy, math.exp(x[1]), math.exp(-x[1]))
        parts: list[tuple[int, Float64Array, float]] = [
            (0, base, 2.0 * mu * math.cosh(x[1]) * self._total_s),
            (1, np.where(self._buy, base, -base), 2.0 * mu * math.sinh(x[1]) * self._total_s),
        ]
        intensity = base.copy()
        compensator = parts[0][2]
        for part, at in ((0, 2), (1, 5)):
            own, other = self._split(columns.traces[part])
            for k, column in enumerate((own, other)):
                scaled = n[part][k] * column
                intensity += scaled
                total = float(n[part][k]) * columns.totals[part]
                compensator += total
                parts.append((at + k, scaled, total))
        if slopes and len(columns.traces) > 2:
            for k, part, at in ((2, 0, 4), (3, 1, 7), (4, 1, 8)):
                own, other = self._split(columns.traces[k])
                parts.append(
                    (at, n[part][0] * own + n[part][1] * other, float(n[part].sum()) * columns.totals[k])
                )
        if (
            not float(intensity.min()) > _LEAST_INTENSITY
        ):  # what no event can come from, or noise of the nodes
            return TwoScaleEvaluation(-math.inf, np.zeros(9), np.zeros((9, 9)))
        gradient, information = _scores(parts, intensity)
        return TwoScaleEvaluation(float(np.log(intensity).sum()) - compensator, gradient, information)

    def trace(self, u: ArrayLike) -> Trace:
        """Follow the intensities and compensators over all events, level 1."""
        x = np.asarray(u, dtype=np.float64)
        found = self.columns(x, slopes=False).traces
        base = math.exp(x[0]) * np.array([math.exp(x[1]), math.exp(-x[1])])
        out = [base[0] * self._height, base[1] * self._height, base[0] * self._growth, base[1] * self._growth]
        for part, at in ((0, 2), (1, 5)):
            own, cross = np.exp(x[at : at + 2])
            t = found[part]
            out[0] += own * t.buy + cross * t.sell
            out[1] += own * t.sell + cross * t.buy
            out[2] += own * t.buy_growth + cross * t.sell_growth
            out[3] += own * t.sell_growth + cross * t.buy_growth
        return Trace(buy=out[0], sell=out[1], buy_growth=out[2], sell_growth=out[3], side=self.events.side)

    def _split(self, trace: Trace) -> tuple[Float64Array, Float64Array]:
        """Excitation of the side that traded, by its own events and by the other's."""
        return np.where(self._buy, trace.buy, trace.sell), np.where(self._buy, trace.sell, trace.buy)


def _scores(
    parts: list[tuple[int, Float64Array, float]], intensity: Float64Array
) -> tuple[Float64Array, Float64Array]:
    """Gradient and sum of outer products, over stretches of events so that no wide matrix is held."""
    where = np.array([at for at, _, _ in parts])
    slope, outer = np.zeros(len(parts)), np.zeros((len(parts), len(parts)))
    for first in range(0, len(intensity), _ROWS_AT_ONCE):
        rows = slice(first, first + _ROWS_AT_ONCE)
        relative = np.stack([column[rows] for _, column, _ in parts]) / intensity[rows]
        slope += relative.sum(axis=1)
        outer += np.einsum("ai,bi->ab", relative, relative, optimize=True)
    slope -= np.array([total for _, _, total in parts])
    gradient, information = np.zeros(9), np.zeros((9, 9))
    gradient[where] = slope
    information[np.ix_(where, where)] = outer
    return gradient, information
