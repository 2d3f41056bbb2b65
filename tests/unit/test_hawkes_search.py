"""Where a Hawkes search ends is the maximum, by the gradient and Hessian there; and its parts agree with the whole."""

from __future__ import annotations

import math

import numpy as np
import pytest

from calibrig import HawkesParameters, simulate_hawkes
from calibrig.calibration.hawkes_search import search_optimum
from calibrig.models.hawkes_coordinates import from_search
from calibrig.models.hawkes_events import prepare_events
from calibrig.models.hawkes_nodes import NodeSet
from calibrig.models.hawkes_passes import HawkesLikelihood

SHAPES = [(0.8, 0.5, 2.0), (0.6, 0.05, 1.5), (0.7, 0.001, 1.4)]


def simulate(n: float, beta: float, gamma: float, *, events: int, seed: int):  # type: ignore[no-untyped-def]
    rate = 5.0  # events per second and side
    u = [
        math.log(rate * (1 - n)),
        math.log(0.75 * n),
        math.log(0.25 * n),
        math.log(beta),
        math.log(gamma - 1),
        0.0,
    ]
    session = [(0, int(events / (2 * rate) * 1e9))]
    time_ns, side = simulate_hawkes(from_search(u), sessions=session, seed=seed)
    return prepare_events(time_ns, side, sessions=session, resolution_ns=1)


def decrement(likelihood: HawkesLikelihood, u: np.ndarray, free: np.ndarray, kernel: str) -> float:
    at = likelihood.evaluate(u, 2, kernel=kernel)  # type: ignore[arg-type]
    slope, bend = at.gradient[free], at.hessian[np.ix_(free, free)]
    return float(-slope @ np.linalg.solve(bend, slope))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kernel", ["power_law", "exponential"])
@pytest.mark.parametrize(("events", "seed"), [(12_000, 3), (60_000, 4), (250_000, 5)])
def test_what_is_left_to_gain_is_what_was_promised(
    shape: tuple[float, float, float], kernel: str, events: int, seed: int
) -> None:
    # the last step is not evaluated by the search: here it is, and 1e-4 nats is the documented end
    sample = simulate(*shape, events=events, seed=seed)
    optimum, likelihood = search_optimum(sample, profile=np.ones(1), kernel=kernel)  # type: ignore[arg-type]
    assert optimum.converged
    assert not optimum.at_bound
    assert abs(decrement(likelihood, optimum.u, optimum.free, kernel)) < 1e-4


def test_one_node_is_the_exponential_kernel() -> None:
    sample = simulate(0.7, 0.5, 2.0, events=400, seed=6)
    decay, n_self, n_cross, mu = 1.7, 0.5, 0.2, 2.0
    t, buy = sample.time_ns * 1e-9, sample.side > 0
    gap = t[:, None] - t[None, :]
    kernel = np.where(gap > 0, decay * np.exp(-decay * np.maximum(gap, 0.0)), 0.0)
    ratio = np.where(buy[:, None] == buy[None, :], n_self, n_cross)
    lam = mu + (ratio * kernel).sum(axis=1)  # the defining double sum
    end = float(sample.sessions[0, 1]) * 1e-9
    mass = (n_self + n_cross) * (1.0 - np.exp(-decay * (end - t))).sum()
    expected = np.log(lam).sum() - 2 * mu * end - mass
    likelihood = HawkesLikelihood(sample)
    likelihood.prepare(NodeSet(start=np.array([decay]), depth=1, log_ratio=1.0))
    u = np.array([math.log(mu), math.log(n_self), math.log(n_cross), -math.log(decay), 0.0, 0.0])
    assert likelihood.evaluate(u, kernel="exponential").value == pytest.approx(expected, rel=1e-12)
    assert np.isnan(likelihood.evaluate(u, 1, kernel="exponential").gradient[3])  # a node cannot move
    trace = likelihood.trace(u, kernel="exponential")
    assert trace.own_intensity() == pytest.approx(lam, rel=1e-12)


def test_growth_of_the_profile_is_the_same_in_parts() -> None:
    profile = np.array([1.5, 0.5])
    sessions = [(0, 10 * 10**9), (100 * 10**9, 110 * 10**9)]
    stamps = np.array([2, 7, 9, 106, 108]) * 10**9
    events = prepare_events(stamps, [1, -1, 1, 1, -1], sessions=sessions)
    # by hand: 2 * 1.5; 3 * 1.5 + 2 * 0.5 - 1.5 ..., the closed hours between the sessions leave out
    expected = np.array([3.0, 3 * 1.5 + 2 * 0.5, 2 * 0.5, 1 * 0.5 + 5 * 1.5 + 1 * 0.5, 2 * 0.5])
    assert events.profile_growth_s(profile, 0, 5) == pytest.approx(expected)
    for first in range(5):
        for last in range(first + 1, 6):
            assert events.profile_growth_s(profile, first, last) == pytest.approx(expected[first:last])
    flat = np.array([2.0, 5.0, 2.0, 1.0 + 6.0, 2.0])
    for first in range(5):
        for last in range(first + 1, 6):
            assert events.profile_growth_s(np.ones(1), first, last) == pytest.approx(flat[first:last])
    assert events.profile_bins(2).tolist() == [0, 1, 1, 1, 1]
    assert events.profile_bins(2, 3).tolist() == [1, 1]


def test_simulated_sessions_do_not_depend_on_threads() -> None:
    p = HawkesParameters(alpha_self=0.3, alpha_cross=0.1, beta=0.5, gamma=2.0, lambda_base=1.0)
    sessions = [(k * 10**12, k * 10**12 + 5 * 10**11) for k in range(7)]
    alone = simulate_hawkes(p, sessions=sessions, seed=3)
    shared = simulate_hawkes(p, sessions=sessions, seed=3, threads=3)
    assert np.array_equal(alone[0], shared[0])
    assert np.array_equal(alone[1], shared[1])
