"""The inventory chain against its closed form, a simulation, and the source of its monotony."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest

from calibrig import AvellanedaStoikovParameters
from calibrig.calibration.inventory import build_inventory_chain, choose_gamma
from calibrig.errors import InvalidInputError
from calibrig.models.quoting import AvellanedaStoikov

SOFT = AvellanedaStoikovParameters(
    gamma=0.01,
    sigma=0.3,
    kappa=50.0,
    time_horizon_seconds=600.0,
    arrival_rate=1.0,
    reference_price=20.0,
    tick_size=0.01,
    lot_size=1.0,
)


def test_distribution_is_the_discrete_gaussian_of_the_closed_form() -> None:
    # d_b(q) - d_a(q + D) = slope (2 q + D), so log p(q) = -kappa slope q^2 / D
    model = AvellanedaStoikov(SOFT)
    assert not model.is_exact
    chain = build_inventory_chain(SOFT, limit_orders=40)
    orders = np.arange(-40, 41)
    exact = np.exp(-SOFT.kappa * model.closed_form_slope * orders**2)
    assert chain.distribution == pytest.approx(exact / exact.sum(), rel=1e-9, abs=1e-15)


def test_half_life_and_rate_agree_with_a_simulated_chain() -> None:
    parameters = msgspec.structs.replace(SOFT, gamma=5.0)
    chain = build_inventory_chain(parameters, limit_orders=6)
    model = AvellanedaStoikov(parameters, inventory_limit=6.0)
    rng = np.random.default_rng(3)

    def rate(inventory: int, side: int) -> float:  # bid fills below +6, ask fills above -6, post-only
        distance = max(model.compute_distances(inventory)[0 if side > 0 else 1], 0.005)
        return 0.0 if inventory * side == 6 else math.exp(-parameters.kappa * distance)

    rates = {(n, side): rate(n, side) for n in range(-6, 7) for side in (1, -1)}
    q, times, states, now = 0, [], [], 0.0
    for _ in range(60_000):
        up, down = rates[q, 1], rates[q, -1]
        wait = rng.exponential(1 / (up + down))
        times.append(wait)
        states.append(q)
        now += wait
        q += 1 if rng.random() < up / (up + down) else -1
    share = np.bincount(np.array(states) + 6, weights=times, minlength=13) / now
    assert share == pytest.approx(chain.distribution, abs=0.012)
    assert 60_000 / now == pytest.approx(chain.fills_per_s, rel=0.03)
    edges = np.cumsum(times)
    grid = np.arange(0.0, now, chain.half_life_s)
    path = np.array(states)[np.minimum(np.searchsorted(edges, grid), len(states) - 1)].astype(float)
    # one half-life apart, the slowest mode has lost half of its correlation
    assert np.corrcoef(path[1:], path[:-1])[0, 1] == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize("target", [0.05, 0.01, 0.001])
def test_gamma_meets_its_target_exactly(target: float) -> None:
    gamma = choose_gamma(SOFT, limit_orders=8, at_limit=target)
    chain = build_inventory_chain(msgspec.structs.replace(SOFT, gamma=gamma), limit_orders=8)
    assert chain.at_limit == pytest.approx(target, rel=2e-3)
    assert chain.at_limit <= target


def test_half_life_target_binds_and_impossible_ones_are_refused() -> None:
    loose = choose_gamma(SOFT, limit_orders=8, at_limit=0.05)
    tight = choose_gamma(SOFT, limit_orders=8, at_limit=0.05, half_life_s=2.0)
    assert tight > loose
    with pytest.raises(InvalidInputError, match="larger limit"):
        choose_gamma(SOFT, limit_orders=8, half_life_s=1e-6)


def test_touch_quotes_hold_the_inventory_by_stepping_back() -> None:
    touch = msgspec.structs.replace(SOFT, kappa=400.0, touch_only=True)
    gamma = choose_gamma(touch, limit_orders=10, at_limit=0.02)
    chain = build_inventory_chain(msgspec.structs.replace(touch, gamma=gamma), limit_orders=10)
    assert chain.at_limit <= 0.02
    weaker = msgspec.structs.replace(touch, gamma=gamma / 1.01)
    assert build_inventory_chain(weaker, limit_orders=10).at_limit > 0.02
