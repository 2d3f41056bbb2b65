"""Two time scales agree with the O(N^2) sum on any events; the level with its definition; both with the past only."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calibrig.calibration.hawkes_above_resolution import residuals_above
from calibrig.calibration.hawkes_two_scale_held_out import grow_two_scale
from calibrig.models.hawkes_events import HawkesEvents, prepare_events
from calibrig.models.hawkes_exact import exact_two_scale_log_likelihood
from calibrig.models.hawkes_level import apply_level, causal_level
from calibrig.models.hawkes_passes import Trace
from calibrig.models.hawkes_two_scale import (
    TwoScaleLikelihood,
    from_two_scale_search,
    precise_two_scale_nodes,
    to_two_scale_search,
)
from calibrig.parameters import TwoScaleParameters

END_S = 100
END_NS = END_S * 10**9
gaps = st.lists(
    st.integers(1_000, 4 * 10**9), min_size=2, max_size=60
)  # closer looks like seconds, and is refused
shapes = st.tuples(
    st.floats(-3, 2), st.floats(-1, 1),
    st.floats(-4, 0.3), st.floats(-4, 0.3), st.floats(-8, 0),
    st.floats(-4, 0.3), st.floats(-4, 0.3), st.floats(-8, 2), st.floats(-3, 0.9),
)  # fmt: skip


def build(steps: list[int], seed: int) -> tuple[np.ndarray, np.ndarray]:
    times = np.cumsum(
        np.array([1_000, *steps[1:]], dtype=np.int64)
    )  # a late start may look like epoch seconds
    times = times[times < END_NS - 1]
    sides = np.random.default_rng(seed).choice(np.array([1, -1], dtype=np.int8), len(times))
    return times, sides


def prepared(events: HawkesEvents, p: TwoScaleParameters, threads: int = 1) -> TwoScaleLikelihood:
    likelihood = TwoScaleLikelihood(events, horizon_s=p.horizon_s, threads=threads)
    likelihood.prepare(precise_two_scale_nodes(events, p))
    return likelihood


@settings(max_examples=60, deadline=None)
@given(gaps, shapes, st.integers(0, 99), st.sampled_from([1, 3]))
def test_native_equals_the_exact_sum(
    steps: list[int], shape: tuple[float, ...], seed: int, threads: int
) -> None:
    times, sides = build(steps, seed)
    if len(times) < 2:
        return
    events = prepare_events(times, sides, sessions=[(0, END_NS)], resolution_ns=1)
    p = from_two_scale_search(shape, horizon_s=float(END_S))
    at = prepared(events, p, threads).evaluate(shape)

    def exact(u: np.ndarray) -> float:
        there = from_two_scale_search(u, horizon_s=float(END_S))
        return exact_two_scale_log_likelihood(there, times * 1e-9, (1 - sides) // 2, float(END_S))

    assert at.value == pytest.approx(exact(np.array(shape)), rel=1e-7, abs=1e-6)
    h = 1e-4
    slopes = np.array(
        [(exact(np.array(shape) + h * e) - exact(np.array(shape) - h * e)) / (2 * h) for e in np.eye(9)]
    )
    size = 1.0 + float(np.abs(slopes).max())
    analytic = np.delete(np.arange(9), 4)  # along log fast_s the nodes' interpolation is differentiated
    assert at.gradient[analytic] / size == pytest.approx(slopes[analytic] / size, abs=2e-6)
    assert at.gradient[4] / size == pytest.approx(slopes[4] / size, abs=5e-3)


@settings(max_examples=40, deadline=None)
@given(gaps, st.integers(0, 99), st.floats(0.5, 50.0), st.floats(0.5, 200.0))
def test_level_equals_its_definition(steps: list[int], seed: int, age: float, weight: float) -> None:
    times, sides = build(steps, seed)
    if len(times) < 3:
        return
    events = prepare_events(times, sides, sessions=[(0, END_NS)], resolution_ns=1)
    growth = np.random.default_rng(seed).exponential(size=(2, len(times)))
    trace = Trace(
        buy=growth[0], sell=growth[1], buy_growth=growth[0], sell_growth=growth[1], side=events.side
    )
    level = causal_level(events, trace, level_s=age, level_events=weight)
    t = times * 1e-9
    for side, grown in ((1, growth[0]), (-1, growth[1])):
        for i in range(len(t)):
            before = np.arange(1, i)  # the first event of a session is not counted
            old = np.exp(-(t[max(i - 1, 0)] - t[before]) / age)
            seen = float((old * (sides[before] == side)).sum())
            expected = float((old * grown[before]).sum())
            assert level[side][i] == pytest.approx((weight + seen) / (weight + expected), rel=1e-9)


@settings(max_examples=30, deadline=None)
@given(gaps, shapes, st.integers(0, 99))
def test_residuals_above_the_clock_equal_the_integral(
    steps: list[int], shape: tuple[float, ...], seed: int
) -> None:
    times, sides = build(steps, seed)
    if len(times) < 4 or len(set(sides.tolist())) < 2:
        return
    step = 50_000_000  # ten steps are half a second
    events = prepare_events(times, sides, sessions=[(0, END_NS)], resolution_ns=step)
    if events.offset_ns is not None:
        return  # equal stamps are spread: the sum below would need the same draw
    p = from_two_scale_search(shape, horizon_s=float(END_S))
    level = causal_level(
        events, prepared(events, p).trace(to_two_scale_search(p)), level_s=10.0, level_events=20.0
    )
    t = times * 1e-9
    for side in (1, -1):
        found = residuals_above(events, 0, side, grow_two_scale(p, 1), level=level[side])
        own = np.flatnonzero(sides == side)
        wanted = []
        for a, b in itertools.pairwise(own):
            if times[b] - times[a] > 10 * step:
                wanted.append(_integral(p, t, (sides, side), (t[a] + 0.5, t[b]), level[side]))
        assert found == pytest.approx(np.array(wanted), rel=1e-6, abs=1e-9)


def _integral(
    p: TwoScaleParameters,
    t: np.ndarray,
    which: tuple[np.ndarray, int],
    span: tuple[float, float],
    level: np.ndarray,
) -> float:
    """The side's compensator over a span by the antiderivatives of the kernel, piece by piece between events."""
    sides, side = which
    g = p.gamma - 1.0
    whole = 1.0 - (1.0 + p.horizon_s / p.beta) ** -g

    def mass(tau: np.ndarray, self_: np.ndarray) -> float:
        fast = -np.expm1(-tau / p.fast_s) * np.where(self_, p.fast_self, p.fast_cross)
        slow = (1.0 - (1.0 + tau / p.beta) ** -g) / whole * np.where(self_, p.slow_self, p.slow_cross)
        return float((fast + slow).sum())

    total = 0.0
    edges = [span[0], *[x for x in t.tolist() if span[0] < x < span[1]], span[1]]
    for low, high in itertools.pairwise(edges):
        before = t <= low
        same = sides[before] == side
        grown = p.lambda_base * math.exp(side * p.asymmetry) * (high - low)
        grown += mass(high - t[before], same) - mass(low - t[before], same)
        total += grown * level[int(np.searchsorted(t, high))]
    return total


def test_level_does_not_look_ahead() -> None:
    times = np.cumsum(np.full(40, 10**9)).astype(np.int64)
    sides = np.where(np.arange(40) % 3 == 0, 1, -1).astype(np.int8)
    ones = np.full(40, 0.5)
    level = []
    for last in (1, -1):
        events = prepare_events(times, np.append(sides[:-1], last), sessions=[(0, END_NS)], resolution_ns=1)
        trace = Trace(buy=ones, sell=ones, buy_growth=ones, sell_growth=ones, side=events.side)
        level.append(causal_level(events, trace, level_s=10.0, level_events=5.0))
        assert apply_level(trace, level[-1]).buy.tolist() == (0.5 * level[-1][1]).tolist()
    assert np.array_equal(level[0][1], level[1][1])
    assert np.array_equal(level[0][-1], level[1][-1])
