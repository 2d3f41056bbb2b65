"""Quotes against the papers' equations and against the exact steady state."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calibrig.errors import InvalidInputError
from calibrig.models.quoting import STIFFNESS_LIMIT, AvellanedaStoikov, steady_state_log_ratios
from calibrig.parameters import AvellanedaStoikovParameters

BASE = AvellanedaStoikovParameters(
    gamma=0.1,
    sigma=0.5,
    kappa=1.5,
    time_horizon_seconds=600.0,
    arrival_rate=1.0,
    reference_price=100.0,
    tick_size=0.01,
    lot_size=1.0,
)


def stiff(gamma: float = 1.0, size: float = 1.0) -> AvellanedaStoikovParameters:
    return msgspec.structs.replace(
        BASE, gamma=gamma, kappa=2.0, arrival_rate=0.1, sigma=40.0, order_size=size, reference_price=100.0
    )


@pytest.mark.parametrize("size", [1.0, 3.0])
@pytest.mark.parametrize("inventory", [-7.0, 0.0, 2.5, 11.0])
def test_stationary_distances_are_the_closed_form_of_the_paper(size: float, inventory: float) -> None:
    p = msgspec.structs.replace(BASE, order_size=size)
    # Gueant 1605.01862 eq. 4.6, written out as methods state it, independently of the code's factors
    g, k, a, s = p.gamma, p.kappa, p.arrival_rate, p.sigma_abs
    first = math.log(1 + g * size / k) / (g * size)
    slope = math.sqrt(g * s**2 / (2 * a * size * k) * (1 + g * size / k) ** (k / (g * size) + 1))
    bid, ask = AvellanedaStoikov(p).compute_distances(inventory)
    assert not AvellanedaStoikov(p).is_exact
    assert bid == pytest.approx(first + (2 * inventory + size) / 2 * slope, rel=1e-12)
    assert ask == pytest.approx(first + (-2 * inventory + size) / 2 * slope, rel=1e-12)


def test_finite_horizon_quotes_are_those_of_avellaneda_and_stoikov() -> None:
    model = AvellanedaStoikov(BASE, form="finite_horizon")
    g, k, s, left, q = BASE.gamma, BASE.kappa, BASE.sigma_abs, 200.0, 4.0
    quotes = model.compute_quotes(100.0, q, time_left_s=left)
    reservation = 100.0 - q * g * s**2 * left
    spread = g * s**2 * left + 2 / g * math.log(1 + g / k)
    assert quotes.reservation_price == pytest.approx(reservation, rel=1e-14)
    assert quotes.bid_distance + quotes.ask_distance == pytest.approx(spread, rel=1e-14)
    assert quotes.bid_ticks == math.floor((reservation - spread / 2) / 0.01)
    assert quotes.ask_ticks == math.ceil((reservation + spread / 2) / 0.01)


@pytest.mark.parametrize("stiffness", [0.02, 0.15, 1.0, 5.0])
def test_steady_state_is_the_eigenvector_of_the_papers_matrix(stiffness: float) -> None:
    levels = 12
    n = np.arange(-levels, levels + 1)
    matrix = np.diag(stiffness * n.astype(float) ** 2) - np.eye(len(n), k=1) - np.eye(len(n), k=-1)
    vector = np.ones(len(n))
    for _ in range(400):  # inverse iteration, shifted below the spectrum so that every entry stays positive
        vector = np.linalg.solve(matrix + 2.5 * np.eye(len(n)), vector)
        vector /= vector.max()
    middle = vector[levels:]
    expected = np.log(middle[:-1] / middle[1:])
    heavy = middle[1:] > 1e-7  # where a solve in doubles still has digits
    np.testing.assert_allclose(steady_state_log_ratios(stiffness, levels)[heavy], expected[heavy], rtol=1e-7)


def test_steady_state_tails_keep_full_accuracy() -> None:
    # beyond the turning point f[n+1]/f[n] -> 1 / (r (n+1)^2 - lambda), lambda fixed by n = 0: 2 f[1]/f[0] = -lambda
    logs = steady_state_log_ratios(5.0, 2_000)
    eigenvalue = -2.0 * math.exp(-logs[0])
    n = 1_500
    following = math.exp(-logs[n])  # f[n+1] / f[n]
    assert logs[n - 1] == pytest.approx(math.log(5.0 * n * n - eigenvalue - following), rel=1e-13)
    assert np.all(np.diff(logs) > 0.0)


def test_closed_form_is_good_below_the_stiffness_limit_and_bad_beyond() -> None:
    def worst(stiffness: float) -> float:
        logs = steady_state_log_ratios(stiffness, 60)[:10]
        closed = np.sqrt(stiffness) * (2 * np.arange(10) + 1) / 2
        return float(np.max(np.abs(logs - closed)))  # in units of 1/kappa

    assert worst(STIFFNESS_LIMIT) < 0.04
    assert worst(0.15) == pytest.approx(1.1, abs=0.25)  # "off by 1.1/kappa within 10 lots at r = 0.15"


def test_stiff_records_quote_from_the_exact_table() -> None:
    p = stiff()
    model = AvellanedaStoikov(p, inventory_limit=20.0)
    assert model.stiffness > STIFFNESS_LIMIT
    assert model.is_exact
    logs = steady_state_log_ratios(model.stiffness, 20) / p.kappa
    bid, ask = model.compute_distances(3.0)
    assert bid == pytest.approx(model.liquidity_edge + logs[3], rel=1e-14)
    assert ask == pytest.approx(model.liquidity_edge - logs[2], rel=1e-14)
    halfway = model.compute_distances(3.5)[0]
    assert halfway == pytest.approx(model.liquidity_edge + 0.5 * (logs[3] + logs[4]), rel=1e-14)


@given(
    half_ticks=st.integers(2_000, 40_000),
    width=st.integers(1, 30),
    inventory=st.floats(-300, 300),
    signal=st.floats(-1, 1),
    fee=st.floats(-0.001, 0.001),
    gamma=st.floats(1e-4, 1.0),
    touch_only=st.booleans(),
)
def test_quotes_never_cross(
    *,
    half_ticks: int,
    width: int,
    inventory: float,
    signal: float,
    fee: float,
    gamma: float,
    touch_only: bool,
) -> None:
    p = msgspec.structs.replace(BASE, gamma=gamma, touch_only=touch_only)
    best_bid = half_ticks // 2
    best_ask = best_bid + width
    quotes = AvellanedaStoikov(p).compute_quotes(
        (best_bid + best_ask) / 2 * 0.01,
        inventory,
        best_bid_ticks=best_bid,
        best_ask_ticks=best_ask,
        signal=signal,
        maker_fee=fee,
    )
    assert quotes.bid_ticks is not None
    assert quotes.ask_ticks is not None
    assert quotes.bid_ticks < quotes.ask_ticks
    assert quotes.bid_ticks < best_ask
    assert quotes.ask_ticks > best_bid
    if touch_only:
        assert quotes.bid_ticks <= best_bid
        assert quotes.ask_ticks >= best_ask


def test_limit_drops_the_side_that_would_grow() -> None:
    model = AvellanedaStoikov(BASE)
    long = model.compute_quotes(100.0, 5.0, inventory_limit=5.0)
    assert long.bid_ticks is None
    assert long.ask_ticks is not None
    short = model.compute_quotes(100.0, -5.0, inventory_limit=5.0)
    assert short.ask_ticks is None
    assert short.bid_ticks is not None


def test_large_tick_record_steps_back_with_inventory_and_ignores_the_signal() -> None:
    p = msgspec.structs.replace(BASE, touch_only=True, gamma=0.1)
    skew_ticks = 0.1 * p.sigma_abs**2 * 600.0 / 0.01  # about 0.475 ticks per unit
    model = AvellanedaStoikov(p)
    flat = model.compute_quotes(100.0, 0.0, best_bid_ticks=9_999, best_ask_ticks=10_001, signal=1.0)
    assert (flat.bid_ticks, flat.ask_ticks) == (9_999, 10_001)
    long = model.compute_quotes(100.0, 5.0, best_bid_ticks=9_999, best_ask_ticks=10_001)
    assert long.bid_ticks == 9_999 + math.floor(-5 * skew_ticks + 0.5)
    assert long.ask_ticks == 10_001


@pytest.mark.parametrize(
    ("mid", "inventory", "signal"), [(0.0, 0.0, 0.0), (math.nan, 0.0, 0.0), (100.0, 0.0, 1.5)]
)
def test_impossible_input_is_refused(mid: float, inventory: float, signal: float) -> None:
    with pytest.raises(InvalidInputError, match="mid is"):
        AvellanedaStoikov(BASE).compute_quotes(mid, inventory, signal=signal)
    with pytest.raises(InvalidInputError, match="crossed"):
        AvellanedaStoikov(BASE).compute_quotes(100.0, 0.0, best_bid_ticks=5, best_ask_ticks=5)
