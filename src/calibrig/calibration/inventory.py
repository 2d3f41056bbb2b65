"""How much inventory a risk aversion lets build up: the exact chain of fills, and gamma for a target."""

from __future__ import annotations

import math
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from calibrig.errors import InvalidInputError
from calibrig.models.quoting import AvellanedaStoikov
from calibrig.parameters import AvellanedaStoikovParameters

__all__ = ["InventoryChain", "build_inventory_chain", "choose_gamma"]

Float64Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class InventoryChain:
    """Stationary inventory of a market maker who quotes with given parameters.

    Attributes
    ----------
    distribution : ndarray of float64, shape (2 N + 1,)
        Chance of each inventory, -N .. N orders.
    half_life_s : float
        Half-life of the slowest mode, ``ln 2 / spectral gap``, s.
    fills_per_s : float
        Fills on both sides.
    """

    distribution: Float64Array
    half_life_s: float
    fills_per_s: float

    @property
    def limit_orders(self) -> int:
        """N."""
        return len(self.distribution) // 2

    @property
    def at_limit(self) -> float:
        """Chance of standing at plus or minus N."""
        return float(self.distribution[0] + self.distribution[-1])

    @property
    def deviation_orders(self) -> float:
        """Standard deviation of the inventory, orders."""
        orders = np.arange(-self.limit_orders, self.limit_orders + 1)
        return math.sqrt(float(self.distribution @ orders**2))


def build_inventory_chain(parameters: AvellanedaStoikovParameters, *, limit_orders: int) -> InventoryChain:
    """Build the birth-death chain that the stationary quotes make of the inventory.

    At inventory q a bid at distance ``d_b(q)`` fills at rate ``A exp(-kappa d_b(q))``, an ask likewise; each fill
    is one whole order; at the limit the growing side is off. Detailed balance gives the distribution exactly. A
    ``touch_only`` record fills at rate A at the touch and ``A exp(-kappa n tick)`` n ticks behind it. Quotes are
    post-only: no quote is nearer to the mid than half a tick, so no inventory is worked off faster than that.

    What it leaves out: queues, ticks, and drift of the price. A replay on ticks is the check.

    Parameters
    ----------
    parameters : AvellanedaStoikovParameters
        With gamma.
    limit_orders : int
        N: inventory limit in orders; at least 1.

    Returns
    -------
    InventoryChain

    Examples
    --------
    >>> parameters = AvellanedaStoikovParameters(gamma=0.1, sigma=0.5, kappa=1.5, time_horizon_seconds=600.0,
    ...     arrival_rate=1.0, reference_price=100.0, tick_size=0.01, lot_size=1.0)
    >>> chain = build_inventory_chain(parameters, limit_orders=10)
    >>> round(float(chain.distribution.sum()), 12), chain.at_limit < 0.1
    (1.0, True)
    """
    if limit_orders < 1:
        raise InvalidInputError(f"limit_orders is {limit_orders}; give at least 1 order")
    grow = _log_fill_rates(parameters, limit_orders)  # log rate of a bid fill at -N .. N-1
    shrink = grow[::-1]  # an ask at q + 1 fills like a bid at -(q + 1)
    log_weight = np.concatenate(([0.0], np.cumsum(grow - shrink)))
    weight = np.exp(log_weight - log_weight.max())
    distribution = weight / weight.sum()
    up, down = np.exp(grow), np.exp(shrink)
    flow = float(distribution[:-1] @ up + distribution[1:] @ down)
    return InventoryChain(
        distribution=distribution, half_life_s=math.log(2.0) / _spectral_gap(up, down), fills_per_s=flow
    )


def _log_fill_rates(parameters: AvellanedaStoikovParameters, limit_orders: int) -> Float64Array:
    size = parameters.order_size
    model = AvellanedaStoikov(parameters, inventory_limit=limit_orders * size)
    distances = np.array([model.compute_distances(n * size)[0] for n in range(-limit_orders, limit_orders)])
    if parameters.touch_only:
        ticks = np.floor(distances / parameters.tick_size + 0.5)
        distances = np.maximum(ticks, 0.0) * parameters.tick_size
    else:
        distances = np.maximum(distances, 0.5 * parameters.tick_size)
    log_rates: Float64Array = math.log(parameters.arrival_rate) - parameters.kappa * distances
    return log_rates


def _spectral_gap(up: Float64Array, down: Float64Array) -> float:
    """Second smallest eigenvalue of the (symmetrised) generator."""
    leave = np.concatenate((up, [0.0])) + np.concatenate(([0.0], down))
    link = np.sqrt(up * down)
    generator = np.diag(leave) - np.diag(link, 1) - np.diag(link, -1)
    return max(float(np.linalg.eigvalsh(generator)[1]), 1e-300)


def choose_gamma(
    parameters: AvellanedaStoikovParameters,
    *,
    limit_orders: int,
    at_limit: float | None = 0.05,
    half_life_s: float | None = None,
) -> float:
    """Return the smallest risk aversion that keeps the inventory within its target.

    Parameters
    ----------
    parameters : AvellanedaStoikovParameters
        Its gamma is not used.
    limit_orders : int
        Inventory limit, orders.
    at_limit : float or None
        Highest chance of standing at the limit.
    half_life_s : float or None
        Longest half-life of the inventory, s; given together with ``at_limit`` both must hold.

    Returns
    -------
    float
        gamma, 1/(price unit x unit of inventory), to 1e-4 relative.

    Raises
    ------
    InvalidInputError
        No gamma reaches the target: with these arrivals the inventory cannot be worked off that fast.

    Examples
    --------
    >>> parameters = AvellanedaStoikovParameters(gamma=1.0, sigma=0.5, kappa=1.5, time_horizon_seconds=600.0,
    ...     arrival_rate=1.0, reference_price=100.0, tick_size=0.01, lot_size=1.0)
    >>> gamma = choose_gamma(parameters, limit_orders=10, at_limit=0.02)
    >>> chain = build_inventory_chain(msgspec.structs.replace(parameters, gamma=gamma), limit_orders=10)
    >>> round(chain.at_limit, 4)
    0.02
    """

    def holds(log_gamma: float) -> bool:
        trial = msgspec.structs.replace(parameters, gamma=math.exp(log_gamma))
        chain = build_inventory_chain(trial, limit_orders=limit_orders)
        return (at_limit is None or chain.at_limit <= at_limit) and (
            half_life_s is None or chain.half_life_s <= half_life_s
        )

    centre = math.log(parameters.kappa / parameters.order_size)
    tried = [centre + step for step in range(-30, 16)]
    first = next((index for index, value in enumerate(tried) if holds(value)), None)
    if first is None:
        raise InvalidInputError(
            f"no risk aversion keeps the inventory at {limit_orders} orders with at_limit={at_limit} and "
            f"half_life_s={half_life_s}; give a larger limit, a longer half-life or a smaller order size"
        )
    if first == 0:
        return math.exp(tried[0])
    low, high = tried[first - 1], tried[first]
    while high - low > 1e-4:
        middle = 0.5 * (low + high)
        low, high = (low, middle) if holds(middle) else (middle, high)
    return math.exp(high)
