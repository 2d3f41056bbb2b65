"""Which quotes an Avellaneda-Stoikov market maker shows, given its inventory.

Prices inside are ticks and lots; the record carries the units. ``sigma_abs`` (price units per sqrt second) is used
throughout: putting the annualised return volatility into these formulas is the commonest bug of the field.

References
----------
.. [1] M. Avellaneda, S. Stoikov, High-frequency trading in a limit order book, Quantitative Finance 8 (2008).
.. [2] O. Gueant, C.-A. Lehalle, J. Fernandez-Tapia, Dealing with the inventory risk, arXiv 1105.3115.
.. [3] O. Gueant, Optimal market making, arXiv 1605.01862, eq. 4.6-4.7.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from calibrig.errors import InvalidInputError
from calibrig.parameters import AvellanedaStoikovParameters

__all__ = ["STIFFNESS_LIMIT", "AvellanedaStoikov", "QuotePair", "steady_state_log_ratios"]

STIFFNESS_LIMIT = 0.01
"""Stiffness up to which the stationary closed form is used; beyond it the exact steady state is tabulated."""

Form = Literal["stationary", "finite_horizon"]


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotePair:
    """Two post-only quotes on the tick grid, and the numbers they were rounded from.

    Attributes
    ----------
    bid_ticks, ask_ticks : int or None
        Prices in ticks; None where the side is dropped (inventory limit).
    reservation_price : float
        Mid shifted by inventory and signal, price units.
    bid_distance, ask_distance : float
        Distances of the unrounded quotes from the mid shifted by the signal, price units.
    """

    bid_ticks: int | None
    ask_ticks: int | None
    reservation_price: float
    bid_distance: float
    ask_distance: float


def steady_state_log_ratios(stiffness: float, levels: int) -> NDArray[np.float64]:
    """Return ``ln(f[n-1] / f[n])`` for n = 1 .. levels, f the exact steady state of the inventory equation.

    f is the positive eigenvector (smallest eigenvalue) of the tridiagonal matrix with ``stiffness * n^2`` on the
    diagonal and -1 beside it, n = -levels .. levels (Gueant, Lehalle, Fernandez-Tapia, section 3, divided by
    eta). Its ratios come from the continued fraction of the three-term recursion and the eigenvalue from bisection,
    so that the far tails keep full relative accuracy, where a dense eigensolver returns noise.

    Parameters
    ----------
    stiffness : float
        ``r = alpha D^2 / eta``, no unit; above 0.
    levels : int
        Inventory limit in orders; at least 1.

    Examples
    --------
    >>> [round(float(x), 4) for x in steady_state_log_ratios(2.0, 1)]  # eigenvalue 1 - sqrt(3) of a 3 x 3 matrix
    [1.0051]
    """
    if not stiffness > 0.0 or levels < 1:
        raise InvalidInputError(
            f"stiffness is {stiffness!r} and levels is {levels!r}; give a stiffness above 0 and at least 1 level"
        )
    ratios = np.empty(levels)
    low, high = -2.0, 0.0
    for _ in range(200):
        value = 0.5 * (low + high)
        if value in (low, high):
            break
        if _below_eigenvalue(stiffness, levels, value, ratios):
            low = value
        else:
            high = value
    _below_eigenvalue(stiffness, levels, low, ratios)
    logs: NDArray[np.float64] = -np.log(ratios)
    return logs


def _below_eigenvalue(stiffness: float, levels: int, value: float, ratios: NDArray[np.float64]) -> bool:
    ratio = 0.0
    for n in range(levels, 0, -1):
        denominator = stiffness * n * n - value - ratio
        if denominator <= 0.0:
            return False
        ratio = 1.0 / denominator
        ratios[n - 1] = ratio
    return value + 2.0 * ratio < 0.0


class AvellanedaStoikov:
    """Quotes of the Avellaneda-Stoikov model on a tick grid.

    Parameters
    ----------
    parameters : AvellanedaStoikovParameters
        With units: gamma 1/(price x inventory unit), kappa 1/price, arrival_rate 1/s, sigma annualised.
    form : {"stationary", "finite_horizon"}
        Stationary: the Gueant-Lehalle-Fernandez-Tapia closed form, or beyond ``STIFFNESS_LIMIT`` the exact steady
        state. Finite horizon: the 2008 paper, with the time left to the end of the window.
    inventory_limit : float or None
        Where the exact steady state ends, units of the instrument; None takes 100 orders.

    Notes
    -----
    A ``touch_only`` record (large tick: kappa is not identified) quotes at the touch; each whole tick of
    ``inventory * gamma * sigma_abs^2 * T`` moves the side that would grow the inventory one tick away.

    Examples
    --------
    >>> from calibrig.parameters import AvellanedaStoikovParameters
    >>> model = AvellanedaStoikov(AvellanedaStoikovParameters(gamma=0.1, sigma=0.5, kappa=1.5,
    ...     time_horizon_seconds=600.0, arrival_rate=1.0, reference_price=100.0, tick_size=0.01, lot_size=1.0))
    >>> quotes = model.compute_quotes(100.0, 0.0)
    >>> quotes.bid_ticks, quotes.ask_ticks
    (9935, 10065)
    >>> model.compute_quotes(100.0, 5.0).reservation_price < 100.0  # long: wants to sell
    True
    """

    def __init__(
        self,
        parameters: AvellanedaStoikovParameters,
        *,
        form: Form = "stationary",
        inventory_limit: float | None = None,
    ) -> None:
        if form not in ("stationary", "finite_horizon"):
            raise InvalidInputError(f"form is {form!r}; give 'stationary' or 'finite_horizon'")
        if inventory_limit is not None and not inventory_limit >= 0.0:
            raise InvalidInputError(f"inventory_limit is {inventory_limit!r}; give a number of at least 0")
        self._p = parameters
        self._form: Form = form
        limit_orders = 100 if inventory_limit is None else int(inventory_limit // parameters.order_size)
        self._levels = max(1, limit_orders)
        self._table: NDArray[np.float64] | None = None
        if form == "stationary" and not parameters.touch_only and self.stiffness > STIFFNESS_LIMIT:
            self._table = steady_state_log_ratios(self.stiffness, self._levels) / parameters.kappa

    @property
    def parameters(self) -> AvellanedaStoikovParameters:
        """The record this model quotes with."""
        return self._p

    @property
    def is_exact(self) -> bool:
        """Whether the stationary quotes come from the exact steady state."""
        return self._table is not None

    @property
    def liquidity_edge(self) -> float:
        """Distance that pays for the adverse exponential arrivals: ``ln(1 + gamma D/kappa) / (gamma D)``, price."""
        scaled = self._p.gamma * self._p.order_size
        return math.log1p(scaled / self._p.kappa) / scaled

    @property
    def stiffness(self) -> float:
        """Stiffness ``r = alpha D^2 / eta`` of the inventory equation, no unit (the closed form is good below 0.01)."""
        p = self._p
        scaled = p.gamma * p.order_size / p.kappa
        eta = p.arrival_rate * math.exp(-(1.0 + 1.0 / scaled) * math.log1p(scaled))
        return p.kappa * p.gamma * p.sigma_abs**2 * p.order_size / (2.0 * eta)

    @property
    def closed_form_slope(self) -> float:
        """Closed form: change of a quote's distance per unit of inventory, price units."""
        return math.sqrt(self.stiffness) / (self._p.kappa * self._p.order_size)

    def compute_distances(self, inventory: float, *, time_left_s: float | None = None) -> tuple[float, float]:
        """Return (bid, ask) distances from the mid in price units, before rounding, signal and fees.

        Parameters
        ----------
        inventory : float
            Units of the instrument, positive = long. Between two orders the exact table is interpolated.
        time_left_s : float or None
            Finite horizon only: ``T - t``, s; None takes the whole window.

        Examples
        --------
        >>> from calibrig.parameters import AvellanedaStoikovParameters
        >>> model = AvellanedaStoikov(AvellanedaStoikovParameters(gamma=0.1, sigma=0.5, kappa=1.5,
        ...     time_horizon_seconds=600.0, arrival_rate=1.0, reference_price=100.0, tick_size=0.01,
        ...     lot_size=1.0), form="finite_horizon")
        >>> [round(d, 6) for d in model.compute_distances(1.0, time_left_s=0.0)]  # ln(1 + 0.1/1.5) / 0.1
        [0.645385, 0.645385]
        """
        p = self._p
        if p.touch_only:
            skew = p.gamma * p.sigma_abs**2 * p.time_horizon_seconds * inventory
            return skew, -skew
        if self._form == "finite_horizon":
            left = p.time_horizon_seconds if time_left_s is None else max(0.0, time_left_s)
            risk = p.gamma * p.sigma_abs**2 * left
            half = 0.5 * risk * p.order_size + self.liquidity_edge
            return half + risk * inventory, half - risk * inventory
        orders = inventory / p.order_size
        return self.liquidity_edge + self._step(orders), self.liquidity_edge + self._step(-orders)

    def _step(self, orders: float) -> float:
        """(1/kappa) ln(f[n] / f[n+1]): closed form, or the exact table interpolated between whole orders."""
        if self._table is None:
            return (2.0 * orders + 1.0) / 2.0 * math.sqrt(self.stiffness) / self._p.kappa
        whole = math.floor(orders)
        fraction = orders - whole
        return (1.0 - fraction) * self._exact(whole) + fraction * self._exact(whole + 1)

    def _exact(self, n: int) -> float:
        assert self._table is not None
        if n >= 0:
            return float(self._table[min(n, self._levels - 1)])
        return -float(self._table[min(-n - 1, self._levels - 1)])

    def compute_quotes(
        self,
        mid: float,
        inventory: float,
        *,
        best_bid_ticks: int | None = None,
        best_ask_ticks: int | None = None,
        signal: float = 0.0,
        inventory_limit: float | None = None,
        time_left_s: float | None = None,
        maker_fee: float = 0.0,
    ) -> QuotePair:
        """Return post-only quotes: bid rounded down, ask rounded up, never crossing, a side dropped at the limit.

        Parameters
        ----------
        mid : float
            Mid price, price units; above 0.
        inventory : float
            Units of the instrument, positive = long.
        best_bid_ticks, best_ask_ticks : int or None
            The touch; None takes the ticks around the mid.
        signal : float
            Predicted mid move in half-spreads, in [-1, 1]; shifts the reservation price (Cartea, Jaimungal). Not
            used by ``touch_only`` records.
        inventory_limit : float or None
            A side that would grow the inventory at or beyond this limit is dropped.
        time_left_s : float or None
            Finite horizon only: ``T - t``, s.
        maker_fee : float
            Share of the traded value, added to both distances (negative for a rebate).
        """
        p = self._p
        if not (math.isfinite(mid) and mid > 0.0 and math.isfinite(inventory) and -1.0 <= signal <= 1.0):
            raise InvalidInputError(
                f"mid is {mid!r}, inventory {inventory!r}, signal {signal!r}; give a mid above 0, a finite inventory "
                "and a signal in [-1, 1]"
            )
        middle = _snap(mid / p.tick_size)
        below = math.ceil(middle) - 1 if best_bid_ticks is None else best_bid_ticks
        above = math.floor(middle) + 1 if best_ask_ticks is None else best_ask_ticks
        if below >= above:
            raise InvalidInputError(
                f"best bid {below} is not below best ask {above}; do not quote a crossed book"
            )
        bid_distance, ask_distance = self.compute_distances(inventory, time_left_s=time_left_s)
        if p.touch_only:
            shift = -bid_distance
            steps = math.floor(shift / p.tick_size + 0.5)
            bid, ask = below + min(0, steps), above + max(0, steps)
        else:
            fee = maker_fee * mid
            shift = signal * 0.5 * (above - below) * p.tick_size
            bid = min(math.floor(middle + (shift - bid_distance - fee) / p.tick_size), above - 1)
            ask = max(math.ceil(middle + (shift + ask_distance + fee) / p.tick_size), below + 1)
            bid = min(bid, ask - 1)
        skew = 0.0 if p.touch_only else 0.5 * (ask_distance - bid_distance)
        return QuotePair(
            bid_ticks=None if inventory_limit is not None and inventory >= inventory_limit else bid,
            ask_ticks=None if inventory_limit is not None and inventory <= -inventory_limit else ask,
            reservation_price=mid + shift + skew,
            bid_distance=bid_distance,
            ask_distance=ask_distance,
        )


def _snap(ticks: float) -> float:
    nearest = round(2.0 * ticks) / 2.0
    return nearest if abs(ticks - nearest) < 1e-6 else ticks
