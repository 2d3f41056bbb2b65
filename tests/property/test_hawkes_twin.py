"""The native likelihood agrees with the O(N^2) sum on any events, and with its own pieces however they are cut."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calibrig.models.hawkes_events import prepare_events
from calibrig.models.hawkes_exact import exact_log_likelihood
from calibrig.models.hawkes_likelihood import HawkesLikelihood, from_search, precise_nodes, to_search

END_NS = 100 * 10**9
gaps = st.lists(st.integers(100, 4 * 10**9), min_size=2, max_size=60)
shapes = st.tuples(
    st.floats(-3, 2), st.floats(-4, 0.3), st.floats(-4, 0.3), st.floats(-9, 2), st.floats(-2, 0.9)
)


def build(steps: list[int], seed: int) -> tuple[np.ndarray, np.ndarray]:
    times = np.cumsum(np.array(steps, dtype=np.int64))
    times = times[times < END_NS - 1]
    sides = np.random.default_rng(seed).choice(np.array([1, -1], dtype=np.int8), len(times))
    return times, sides


@settings(max_examples=60, deadline=None)
@given(gaps, shapes, st.integers(0, 99), st.sampled_from([2, 3, 8, 64]), st.sampled_from([1, 3]))
def test_native_equals_the_exact_sum(
    steps: list[int], shape: tuple[float, ...], seed: int, lane_steps: int, threads: int
) -> None:
    times, sides = build(steps, seed)
    if len(times) < 2:
        return
    events = prepare_events(times, sides, sessions=[(0, END_NS)], resolution_ns=1)
    p = from_search([*shape, 0.0])
    likelihood = HawkesLikelihood(events, lane_steps=lane_steps, threads=threads)
    likelihood.prepare(precise_nodes(events, p.beta, p.gamma))
    value, slope = exact_log_likelihood(
        [p.lambda_base, p.alpha_self, p.alpha_cross, p.beta, p.gamma], times * 1e-9, (1 - sides) // 2, 100.0
    )
    at = likelihood.evaluate(to_search(p), 2)
    assert at.value == pytest.approx(value, rel=1e-7, abs=1e-7)
    # the chain rule from theta to u, by hand
    g = p.gamma - 1.0
    by_u = [
        slope[0] * p.lambda_base,
        slope[1] * p.alpha_self,
        slope[2] * p.alpha_cross,
        slope[3] * p.beta + g * (slope[1] * p.alpha_self + slope[2] * p.alpha_cross),
        slope[4] * g + (1.0 + g * math.log(p.beta)) * (slope[1] * p.alpha_self + slope[2] * p.alpha_cross),
    ]
    size = 1.0 + float(np.abs(by_u).max())
    assert at.gradient[:5] / size == pytest.approx(np.array(by_u) / size, abs=1e-7)
    assert np.array_equal(at.hessian, at.hessian.T)


@settings(max_examples=40, deadline=None)
@given(gaps, shapes, st.floats(-0.5, 0.5), st.integers(0, 99), st.sampled_from([2, 3, 8, 64]))
def test_hessian_is_the_slope_of_the_gradient(
    steps: list[int], shape: tuple[float, ...], tilt: float, seed: int, lane_steps: int
) -> None:
    # central differences of the gradient, whose own values the test above holds against the double sum
    times, sides = build(steps, seed)
    if len(times) < 2:
        return
    events = prepare_events(times, sides, sessions=[(0, END_NS)], resolution_ns=1)
    likelihood = HawkesLikelihood(events, lane_steps=lane_steps, threads=1)
    u = np.array([*shape, tilt])
    likelihood.prepare(precise_nodes(events, math.exp(u[3]) * 0.9, 1.0 + math.exp(u[4])))
    at = likelihood.evaluate(u, 2)
    assert likelihood.evaluate(u, 1).gradient == pytest.approx(at.gradient, rel=1e-12, abs=1e-12)
    assert likelihood.evaluate(u).value == pytest.approx(at.value, rel=1e-13)
    h = 1e-5
    size = 1.0 + float(np.abs(at.hessian).max())
    for k in range(6):
        bump = h * np.eye(6)[k]
        slope = (likelihood.evaluate(u + bump, 1).gradient - likelihood.evaluate(u - bump, 1).gradient) / (
            2 * h
        )
        assert at.hessian[k] / size == pytest.approx(slope / size, abs=2e-6)


@settings(max_examples=40, deadline=None)
@given(gaps, shapes, st.integers(0, 99), st.sampled_from([2, 3, 8, 64]), st.sampled_from([1, 3]))
def test_trace_equals_the_double_sums(
    steps: list[int], shape: tuple[float, ...], seed: int, lane_steps: int, threads: int
) -> None:
    times, sides = build(steps, seed)
    if len(times) < 2:
        return
    events = prepare_events(times, sides, sessions=[(0, END_NS)], resolution_ns=1)
    p = from_search([*shape, 0.0])
    likelihood = HawkesLikelihood(events, lane_steps=lane_steps, threads=threads)
    likelihood.prepare(precise_nodes(events, p.beta, p.gamma))
    trace = likelihood.trace(to_search(p))
    t = times * 1e-9
    gap = t[:, None] - t[None, :]
    before = gap > 0
    delay = np.where(before, gap, 0.0)
    kernel = np.where(before, (p.beta + delay) ** -p.gamma, 0.0)
    # mass of the kernel from 0 to each delay; differences of it are what the compensator grows by
    mass = np.where(before, p.beta ** (1 - p.gamma) - (p.beta + delay) ** (1 - p.gamma), 0.0) / (p.gamma - 1)
    for m, rate, growth in ((1, trace.buy, trace.buy_growth), (-1, trace.sell, trace.sell_growth)):
        alpha = np.where(sides == m, p.alpha_self, p.alpha_cross)
        assert rate == pytest.approx(p.lambda_base + kernel @ alpha, rel=1e-7)
        assert np.cumsum(growth) == pytest.approx(p.lambda_base * t + mass @ alpha, rel=1e-7)
