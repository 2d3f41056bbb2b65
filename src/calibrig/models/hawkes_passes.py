"""Log-likelihood of one Hawkes history with gradient and Hessian, in passes over states that parameters do not move."""

from __future__ import annotations

import copy
import math
import os
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from calibrig._native import hawkes as _native  # noqa: TID251
from calibrig.errors import InvalidInputError
from calibrig.models.hawkes_events import HawkesEvents
from calibrig.models.hawkes_nodes import (
    ExponentialSum,
    NodeSet,
    choose_nodes,
    exponential_weights,
    power_law_weights,
)

__all__ = ["Evaluation", "Halt", "HawkesLikelihood", "Kernel", "Trace", "precise_nodes", "usable_threads"]

Float64Array = NDArray[np.float64]
Kernel = Literal["power_law", "exponential"]
Halt = _native.Halt

# order of the sums that a pass returns (native/hawkes_kernels.hpp)
_Q_AT, _Q_SUM = [0, 1, 3, 4, 5], [2, 3, 4, 5, 6]
_QQ_ROW = [0, 0, 0, 0, 0, 1, 1, 1, 1, 3, 3, 3, 4, 4]
_QQ_COLUMN = [0, 1, 3, 4, 5, 1, 3, 4, 5, 3, 4, 5, 4, 5]
_QQ_SUM = list(range(7, 21))
_H13, _H14, _H33, _H34, _H44 = 21, 22, 23, 24, 25


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Log-likelihood, and its gradient and Hessian in u where asked for."""

    value: float
    gradient: Float64Array
    hessian: Float64Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """Event by event: intensities just before, and the growth of the compensators since the event before.

    Attributes
    ----------
    buy, sell : ndarray of float64, shape (n,)
        Intensities, 1/s.
    buy_growth, sell_growth : ndarray of float64, shape (n,)
        Growth of each side's compensator, events.
    side : ndarray of int8
        Side of each event.
    """

    buy: Float64Array
    sell: Float64Array
    buy_growth: Float64Array
    sell_growth: Float64Array
    side: NDArray[np.int8]

    def between(self, first: int, last: int) -> Trace:
        """Rows first .. last - 1."""
        rows = slice(first, last)
        return Trace(
            buy=self.buy[rows],
            sell=self.sell[rows],
            buy_growth=self.buy_growth[rows],
            sell_growth=self.sell_growth[rows],
            side=self.side[rows],
        )

    def own_intensity(self) -> Float64Array:
        """Intensity of the side that traded, shape (n,)."""
        return np.where(self.side > 0, self.buy, self.sell)

    def residuals(self, side: int) -> Float64Array:
        """Compensator between successive events of one side: Exp(1) if the model is right (Papangelou 1972)."""
        growth = self.buy_growth if side > 0 else self.sell_growth
        total = np.cumsum(growth)
        out: Float64Array = np.diff(total[self.side == side])
        return out


def usable_threads(threads: int | None) -> int:
    """Return the number of threads to use: what was asked for, or what this process may run on."""
    if threads is None:
        return max(1, len(os.sched_getaffinity(0)))
    if threads < 1:
        raise InvalidInputError(f"threads is {threads}; give 1 or more, or None for all")
    return threads


class HawkesLikelihood:
    """Log-likelihood of one history, evaluated in passes over states that do not depend on the parameters.

    Parameters
    ----------
    events : HawkesEvents
        What happened.
    profile : sequence of float
        Time-of-day profile, mean 1.
    sides : {1, 2}
        2, or 1: every event on one side, no cross-excitation.
    threads : int, optional
        Default: as many as the process may use. The result does not depend on it.
    lane_steps : int, optional
        Events per lane of a block (eight lanes); default by the number of events.
    isa : str
        "", or the name of a lower instruction set ("baseline", "avx2", "avx512").

    Examples
    --------
    >>> from calibrig.models.hawkes_events import prepare_events
    >>> events = prepare_events([10**9, 2 * 10**9], [1, -1], sessions=[(0, 3 * 10**9)])
    >>> likelihood = HawkesLikelihood(events)
    >>> likelihood.prepare(choose_nodes(beta_low_s=0.1, horizon_s=3.0))
    >>> u = [math.log(2.0), -50.0, -50.0, math.log(0.5), 0.0, 0.0]  # Poisson, 2/s a side
    >>> round(likelihood.evaluate(u).value, 9)  # 2 log 2 - 2 * 2 * 3
    -10.613705639
    """

    def __init__(
        self,
        events: HawkesEvents,
        *,
        profile: ArrayLike = (1.0,),
        sides: Literal[1, 2] = 2,
        threads: int | None = None,
        lane_steps: int | None = None,
        isa: str = "",
    ) -> None:
        self.events = events
        self.profile = np.ascontiguousarray(profile, dtype=np.float64)
        self.sides = sides
        self.threads = usable_threads(threads)
        side = events.side if sides == 2 else np.ones(len(events), dtype=np.int8)
        if lane_steps is None:
            lane_steps = min(max(len(events) // (8 * 16), 32), 2048)
        self._native = _native.History(
            events.time_ns,
            events.offset_ns,
            side,
            events.sessions.reshape(-1),
            events.profile_sessions.reshape(-1),
            self.profile,
            lane_steps,
            self.threads,
            isa,
        )
        self._totals_s = events.profile_totals_s(self.profile)
        edges = np.searchsorted(events.time_ns, events.sessions[:, 1])
        self._counts = np.diff(edges, prepend=0).astype(np.float64)
        if self._native.sessions() != len(self._counts):
            raise InvalidInputError("a session has no events; leave sessions without trading out")
        self._nodes: NodeSet | None = None
        self._seen: Float64Array = np.empty((0, 0))
        self.passes = 0

    def share(self) -> HawkesLikelihood:
        """Return another likelihood of the same events, laid out once for both: each has nodes of its own.

        Examples
        --------
        >>> from calibrig.models.hawkes_events import prepare_events
        >>> one = HawkesLikelihood(prepare_events([10**9, 2 * 10**9], [1, -1], sessions=[(0, 3 * 10**9)]))
        >>> other = one.share()
        >>> other.prepare(choose_nodes(beta_low_s=0.1, horizon_s=3.0))
        >>> one.nodes
        Traceback (most recent call last):
        ...
        calibrig.errors.InvalidInputError: no nodes yet; call prepare(choose_nodes(...)) first
        """
        other = copy.copy(self)
        other._native = self._native.share()
        return other

    @property
    def nodes(self) -> NodeSet:
        """The nodes in use."""
        if self._nodes is None:
            raise InvalidInputError("no nodes yet; call prepare(choose_nodes(...)) first")
        return self._nodes

    @property
    def bytes_per_event(self) -> float:
        """Memory held beyond the input, bytes per event."""
        return self._native.bytes() / len(self.events)

    def prepare(self, nodes: NodeSet) -> None:
        """Compute the border states on these nodes; later passes reuse them."""
        self._native.prepare(nodes.start, nodes.depth, self.threads)
        tails = self._native.tails().reshape(-1, 2, len(nodes))
        self._seen = self._counts[:, None] - tails[:, 0, :]  # sum over events of 1 - exp(-x (end - t))
        self._nodes = nodes

    def weights(self, u: Float64Array, kernel: Kernel) -> ExponentialSum:
        """Weights of the kernel that u describes."""
        if kernel == "exponential":
            return exponential_weights(self.nodes, decay=math.exp(-u[3]))
        return power_law_weights(self.nodes, beta=math.exp(u[3]), gamma=1.0 + math.exp(u[4]))

    def evaluate(self, u: ArrayLike, order: int = 0, *, kernel: Kernel = "power_law") -> Evaluation:
        """Evaluate at u: order 0 the value, 1 with the gradient, 2 with the Hessian."""
        u = np.asarray(u, dtype=np.float64)
        weights = self.weights(u, kernel)
        rows, scalars = self._arguments(u, weights)
        sums = self._native.evaluate(order, rows, scalars, self.threads).reshape(len(self._counts), -1)
        self.passes += 1
        parts = self._compensator(u, weights, float(self._totals_s.sum()), self._seen.sum(axis=0))
        return _assemble(sums.sum(axis=0), len(self.events), order, parts)

    def evaluate_sessions(self, u: ArrayLike, *, kernel: Kernel = "power_law") -> list[Evaluation]:
        """Evaluate value and gradient session by session; they add up to :meth:`evaluate`."""
        u = np.asarray(u, dtype=np.float64)
        weights = self.weights(u, kernel)
        rows, scalars = self._arguments(u, weights)
        sums = self._native.evaluate(1, rows, scalars, self.threads).reshape(len(self._counts), -1)
        self.passes += 1
        return [
            _assemble(part, int(count), 1, self._compensator(u, weights, float(total_s), seen))
            for part, count, total_s, seen in zip(sums, self._counts, self._totals_s, self._seen, strict=True)
        ]

    def trace(
        self, u: ArrayLike, first: int = 0, last: int | None = None, *, kernel: Kernel = "power_law"
    ) -> Trace:
        """Follow the intensities and compensators over events first .. last - 1."""
        u = np.asarray(u, dtype=np.float64)
        last = len(self.events) if last is None else last
        rows, scalars = self._arguments(u, self.weights(u, kernel))
        buy, sell, buy_growth, sell_growth = self._native.trace(rows, scalars, first, last, self.threads)
        growth = self.events.profile_growth_s(self.profile, first, last)
        buy_growth += scalars[0] * growth
        sell_growth += scalars[1] * growth
        return Trace(
            buy=buy,
            sell=sell,
            buy_growth=buy_growth,
            sell_growth=sell_growth,
            side=self.events.side[first:last] if self.sides == 2 else np.ones(last - first, dtype=np.int8),
        )

    def excite(self, row: Float64Array) -> tuple[Trace, float]:
        """Follow the kernel ``sum of row_k exp(-x_k tau)`` alone: no baseline, ratio 1 on the own side, 0 across.

        Returns its trace and its whole compensator, events. Sums of such traces make up any kernel on these nodes.
        """
        masses = row / self.nodes.rates
        rows = np.zeros((7, len(row)))
        rows[0], rows[6] = row, masses
        scalars = np.array([0.0, 0.0, 1.0, 0.0])
        columns = self._native.trace(rows.reshape(-1), scalars, 0, len(self.events), self.threads)
        self.passes += 1
        return Trace(
            buy=columns[0],
            sell=columns[1],
            buy_growth=columns[2],
            sell_growth=columns[3],
            side=self.events.side,
        ), float(masses @ self._seen.sum(axis=0))

    def _arguments(self, u: Float64Array, weights: ExponentialSum) -> tuple[Float64Array, Float64Array]:
        rows = np.ascontiguousarray(np.concatenate([weights.rows, weights.masses[:1]]).reshape(-1))
        mu, n_self, n_cross = np.exp(u[:3])
        if self.sides == 1:
            return rows, np.array([mu, mu, n_self, 0.0])
        return rows, np.array([mu * math.exp(u[5]), mu * math.exp(-u[5]), n_self, n_cross])

    def _compensator(
        self, u: Float64Array, weights: ExponentialSum, total_s: float, seen: Float64Array
    ) -> tuple[float, Float64Array, Float64Array]:
        """Compensator over observed time, with gradient and Hessian in u."""
        mu, n_self, n_cross = np.exp(u[:3]).tolist()
        mass = weights.masses @ seen  # value, v, w, vv, vw, ww
        if self.sides == 1:
            base, tilt, n_cross = mu * total_s, 0.0, 0.0
        else:
            base = 2.0 * mu * math.cosh(u[5]) * total_s
            tilt = 2.0 * mu * math.sinh(u[5]) * total_s
        n = n_self + n_cross
        first = np.array([base, n_self * mass[0], n_cross * mass[0], n * mass[1], n * mass[2], tilt])
        second = np.zeros((6, 6))
        second[0, 0], second[0, 5], second[5, 5] = base, tilt, base if self.sides == 2 else 0.0
        second[1, 1], second[2, 2] = first[1], first[2]
        second[1, 3], second[1, 4] = n_self * mass[1], n_self * mass[2]
        second[2, 3], second[2, 4] = n_cross * mass[1], n_cross * mass[2]
        second[3, 3], second[3, 4], second[4, 4] = n * mass[3], n * mass[4], n * mass[5]
        return base + n * float(mass[0]), first, _symmetric(second)


def _symmetric(upper: Float64Array) -> Float64Array:
    out: Float64Array = upper + upper.T
    out.flat[:: len(out) + 1] *= 0.5
    return out


def _assemble(
    sums: Float64Array, n: int, order: int, parts: tuple[float, Float64Array, Float64Array]
) -> Evaluation:
    """Put the sums of a pass and the compensator together."""
    comp, comp_1, comp_2 = parts
    value = float(sums[0]) - comp
    none = np.empty(0)
    if order == 0:
        return Evaluation(value, none, none)
    q = np.zeros(6)
    q[_Q_AT] = sums[_Q_SUM]
    q[2] = n - q[0] - q[1]
    if order == 1:
        return Evaluation(value, q - comp_1, none)
    outer = np.zeros((6, 6))
    outer[_QQ_ROW, _QQ_COLUMN] = outer[_QQ_COLUMN, _QQ_ROW] = sums[_QQ_SUM]
    outer[5, 5] = outer[0, 0]
    outer[2] = outer[:, 2] = q - outer[0] - outer[1]  # q_2 = 1 - q_0 - q_1
    outer[2, 2] = q[2] - outer[0, 2] - outer[1, 2]
    second = np.zeros((6, 6))
    second[0, 0], second[0, 5], second[5, 5] = q[0], q[5], q[0]
    second[1, 1], second[2, 2] = q[1], q[2]
    second[1, 3], second[1, 4] = sums[_H13], sums[_H14]
    second[2, 3], second[2, 4] = q[3] - sums[_H13], q[4] - sums[_H14]
    second[3, 3], second[3, 4], second[4, 4] = sums[_H33], sums[_H34], sums[_H44]
    return Evaluation(value, q - comp_1, _symmetric(second) - outer - comp_2)


def precise_nodes(events: HawkesEvents, beta: float, gamma: float) -> NodeSet:
    """Nodes for reported values: r = sqrt 2 (finer for a large gamma), kernel error about 1e-10.

    The nodes below the first are lumped into it, which costs a share ``(x_0 T)^(gamma + 1)`` of the kernel at T.
    """
    longest = float((events.sessions[:, 1] - events.sessions[:, 0]).max()) * 1e-9
    fine = 2 if gamma < 2.6 else 3 if gamma < 5.0 else 4
    return choose_nodes(
        beta_low_s=beta,
        horizon_s=longest,
        gamma=gamma,
        per_octave=fine,
        low_margin=10.0 ** (-11.0 / (gamma + 1.0)),
        high_margin=32.0,
        chain=14,
    )
