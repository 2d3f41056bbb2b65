"""Fit the quoting model: sigma, A, kappa from ticks, gamma from an inventory target."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from calibrig.calibration.arrivals import ArrivalFit, fit_arrivals
from calibrig.calibration.inventory import InventoryChain, build_inventory_chain, choose_gamma
from calibrig.calibration.judging import build_evidence
from calibrig.calibration.selection import select_trades
from calibrig.calibration.volatility import VolatilityFit, estimate_volatility
from calibrig.errors import InvalidTicksError
from calibrig.market import MarketData, Trades, merge_child_fills, sign_trades
from calibrig.parameters import AvellanedaStoikovParameters, Evidence, GateResult, Verdict

__all__ = ["QuotingFit", "fit_quoting", "prepare_orders"]

MINIMUM_ORDERS_PER_SIDE = 200
FEWEST_MINUTES = 30
_RESTRICTING = {
    "volatility_agreement": "volatility_degraded",
    "volatility_span": "volatility_from_a_short_span",
    "touch_share": "touch_quoting_only",
    "kappa_sides": "one_kappa_for_unequal_sides",
    "reach_shape": "exponential_reach_misfit",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotingFit:
    """Quoting parameters with everything they were judged by.

    Attributes
    ----------
    parameters : AvellanedaStoikovParameters
        Ready for the store and the engine.
    standard_errors : dict of str to float
        By field: sigma, kappa, arrival_rate, and gamma (what the errors of the other three make of it).
    volatility : VolatilityFit
        sigma by four estimators.
    arrivals : ArrivalFit
        A and kappa, pooled and by side, touch share, first-passage form.
    inventory : InventoryChain
        What gamma makes of the inventory.
    evidence : Evidence
        Gates, verdict, reason, data.
    """

    parameters: AvellanedaStoikovParameters
    standard_errors: dict[str, float]
    volatility: VolatilityFit
    arrivals: ArrivalFit
    inventory: InventoryChain
    evidence: Evidence

    @property
    def gates(self) -> tuple[GateResult, ...]:
        """Every gate that was judged."""
        return self.evidence.gates

    @property
    def verdict(self) -> Verdict:
        """What the parameters may be used for."""
        return self.evidence.verdict

    @property
    def reason(self) -> str:
        """Why, in one sentence."""
        return self.evidence.reason

    def summary(self) -> str:
        """Return the fit as text: estimates with errors, gates, verdict."""
        p, e = self.parameters, self.standard_errors
        rows = [
            f"Quoting model, {self.evidence.data_description}",
            f"  sigma         {p.sigma:.4g} +- {e['sigma']:.2g} a year  ({self.volatility.detail})",
            f"  arrival rate  {p.arrival_rate:.4g} +- {e['arrival_rate']:.2g} 1/s a side",
            f"  kappa         {p.kappa:.4g} +- {e['kappa']:.2g} 1/{p.price_unit}  ({self.arrivals.detail})",
            f"  gamma         {p.gamma:.4g} +- {e['gamma']:.2g}  for {self.inventory.at_limit:.3f} at "
            f"{self.inventory.limit_orders} orders, half-life {self.inventory.half_life_s:.4g} s",
        ]
        rows += [f"  {_mark(gate)} {gate.name}: {_figure(gate)} ({gate.limit})" for gate in self.gates]
        rows.append(f"  {self.verdict}: {self.reason}")
        return "\n".join(rows)

    def to_dict(self) -> dict[str, Any]:
        """Return the fit as plain values for JSON."""
        passage = self.arrivals.first_passage
        return {
            "parameters": msgspec.to_builtins(self.parameters),
            "standard_errors": dict(self.standard_errors),
            "volatility": {
                name: getattr(self.volatility, name)
                for name in (
                    "sigma",
                    "bipower",
                    "two_scale",
                    "kernel",
                    "jump_share",
                    "disagreement",
                    "samples",
                )
            },
            "arrivals": {
                "arrival_rate_by_side": list(self.arrivals.arrival_rate_by_side),
                "kappa_by_side": list(self.arrivals.kappa_by_side),
                "touch_share": self.arrivals.touch_share,
                "orders": self.arrivals.orders,
                "first_passage": {
                    "arrival_rate": passage.arrival_rate,
                    "kappa": passage.kappa,
                    "interval_s": passage.interval_s,
                },
            },
            "inventory": {
                "at_limit": self.inventory.at_limit,
                "limit_orders": self.inventory.limit_orders,
                "half_life_s": self.inventory.half_life_s,
                "deviation_orders": self.inventory.deviation_orders,
            },
            "evidence": msgspec.to_builtins(self.evidence),
        }


def _mark(gate: GateResult) -> str:
    return {True: "ok  ", False: "FAIL", None: "n/a "}[gate.passed]


def _figure(gate: GateResult) -> str:
    return gate.detail if gate.value is None else f"{gate.value:.4g}"


def prepare_orders(market: MarketData) -> tuple[Trades, int]:
    """Return one signed row per market order, and how many trades had to be left out as unsigned.

    Trades without a side are signed against the quotes; the fills of one order are merged.
    """
    trades = market.trades
    if len(trades) and np.any(trades.side == 0):
        trades = sign_trades(trades, market.quotes)
    unknown = trades.side == 0
    if np.any(unknown):
        trades = select_trades(trades, ~unknown)
    return merge_child_fills(trades), int(np.count_nonzero(unknown))


def fit_quoting(
    market: MarketData,
    *,
    order_size: float | None = None,
    inventory_limit_orders: int = 10,
    inventory_at_limit: float | None = 0.05,
    inventory_half_life_s: float | None = None,
    time_horizon_s: float = 600.0,
    sample_s: float | None = None,
    interval_s: float = 1.0,
    replicas: int = 400,
    seed: int = 0,
) -> QuotingFit:
    """Fit sigma, A and kappa to ticks and choose gamma by an inventory target.

    Parameters
    ----------
    market : MarketData
        Trades (signed, or with quotes to sign them against) and quotes.
    order_size : float, optional
        D in units of the instrument; default the median order, rounded down to lots, at least one lot.
    inventory_limit_orders : int
        Inventory limit in orders.
    inventory_at_limit, inventory_half_life_s : float or None
        Targets of gamma: highest chance of standing at the limit, longest half-life.
    time_horizon_s : float
        Trading window, s.
    sample_s : float, optional
        Spacing of the returns behind sigma, s; default a minute, or where that gives fewer than 30 returns a sixtieth
        of the span (at least 1 s), which restricts the verdict.
    interval_s : float
        dt of the first-passage form, s.
    replicas, seed : int
        Block bootstrap of the arrivals.

    Returns
    -------
    QuotingFit

    Raises
    ------
    InvalidTicksError
        No trades, no quotes, or too few of them to compute anything.

    Examples
    --------
    >>> from calibrig.market import Instrument, Quotes
    >>> rng, n, end = np.random.default_rng(7), 4_000, 4_000 * 10**9
    >>> same = {"sessions": [[0, end]], "instrument": Instrument(symbol="X", tick_size=0.01, lot_size=1.0)}
    >>> bid, one, side = 9_999 + np.cumsum(rng.integers(-1, 2, n)), np.ones(n), rng.choice([-1, 1], n)
    >>> quotes = Quotes(time_ns=np.arange(n) * 10**9, bid_ticks=bid, bid_lots=one, ask_ticks=bid + 2, ask_lots=one,
    ...     **same)
    >>> reach = np.maximum(rng.exponential(2.0, n), 1.0).astype(int)  # kappa 1 / (2 ticks of 0.01) = 50
    >>> trades = Trades(time_ns=np.arange(n) * 10**9 + 1, price_ticks=bid + 1 + side * reach, size_lots=one, side=side,
    ...     id=np.arange(n), **same)
    >>> fit = fit_quoting(MarketData(trades=trades, quotes=quotes))
    >>> str(fit.verdict), bool(abs(fit.parameters.kappa - 50.0) < 3 * fit.standard_errors["kappa"])
    ('PASS', True)
    """
    if not len(market.trades) or not len(market.quotes):
        raise InvalidTicksError(
            f"{market.instrument.symbol!r} has {len(market.trades)} trades and {len(market.quotes)} quotes; "
            "the quoting model needs both"
        )
    instrument = market.instrument
    orders, _ = prepare_orders(market)
    volatility = estimate_volatility(
        market.quotes, sample_s=_choose_sample_s(market) if sample_s is None else sample_s
    )
    arrivals = fit_arrivals(orders, market.quotes, interval_s=interval_s, replicas=replicas, seed=seed)
    if order_size is None:
        order_size = max(int(np.median(orders.size_lots)), 1) * instrument.lot_size
    draft = AvellanedaStoikovParameters(
        gamma=1.0,
        sigma=volatility.sigma,
        kappa=arrivals.kappa,
        time_horizon_seconds=time_horizon_s,
        arrival_rate=arrivals.arrival_rate,
        reference_price=volatility.reference_price,
        tick_size=instrument.tick_size,
        lot_size=instrument.lot_size,
        seconds_per_year=instrument.seconds_per_year,
        order_size=order_size,
        price_unit=instrument.price_unit,
        touch_only=arrivals.large_tick,
    )
    target = {"at_limit": inventory_at_limit, "half_life_s": inventory_half_life_s}
    gamma = choose_gamma(draft, limit_orders=inventory_limit_orders, **target)
    errors = {
        "sigma": volatility.sigma_error,
        "kappa": arrivals.kappa_error,
        "arrival_rate": arrivals.arrival_rate_error,
    }
    errors["gamma"] = _propagate_gamma(draft, gamma, errors, inventory_limit_orders, target)
    parameters = msgspec.structs.replace(draft, gamma=gamma)
    chain = build_inventory_chain(parameters, limit_orders=inventory_limit_orders)
    gates = _judge(volatility, arrivals, chain, inventory_at_limit)
    return QuotingFit(
        parameters=parameters,
        standard_errors=errors,
        volatility=volatility,
        arrivals=arrivals,
        inventory=chain,
        evidence=build_evidence(
            market,
            gates,
            restricting=_RESTRICTING,
            insufficient={"orders_per_side": Verdict.TOO_FEW_EVENTS},
        ),
    )


def _choose_sample_s(market: MarketData) -> float:
    span_s = float(np.sum(np.diff(market.sessions, axis=1))) / 1e9
    return 60.0 if span_s >= 60.0 * FEWEST_MINUTES else max(span_s / 60.0, 1.0)


def _propagate_gamma(
    draft: AvellanedaStoikovParameters,
    gamma: float,
    errors: dict[str, float],
    limit_orders: int,
    target: dict[str, float | None],
) -> float:
    """First-order error of gamma from the errors of sigma, kappa and A, taken as independent."""
    total = 0.0
    for field, error in errors.items():
        value = getattr(draft, field)
        moved = msgspec.structs.replace(draft, **{field: value + min(error, 0.5 * value)})
        total += (choose_gamma(moved, limit_orders=limit_orders, **target) - gamma) ** 2
    return math.sqrt(total)


def _judge(
    volatility: VolatilityFit, arrivals: ArrivalFit, chain: InventoryChain, at_limit: float | None
) -> list[GateResult]:
    buy, sell = arrivals.kappa_by_side
    spread = math.hypot(*arrivals.kappa_by_side_error)
    sides_z = abs(buy - sell) / spread if spread > 0.0 else math.nan
    identified = not arrivals.large_tick
    fewest = min(
        round(rate / sum(arrivals.arrival_rate_by_side) * arrivals.orders)
        for rate in arrivals.arrival_rate_by_side
    )
    relative = arrivals.kappa_error / arrivals.kappa
    gates = [
        GateResult(
            name="orders_per_side",
            value=float(fewest),
            limit=f">= {MINIMUM_ORDERS_PER_SIDE}",
            passed=fewest >= MINIMUM_ORDERS_PER_SIDE,
            detail=arrivals.detail,
        ),
        GateResult(
            name="volatility_agreement",
            value=volatility.disagreement,
            limit="four estimators within 0.3 of each other, relative",
            passed=not volatility.degraded,
            detail=volatility.detail,
        ),
        GateResult(
            name="volatility_span",
            value=volatility.samples * volatility.sample_s / 60.0,
            limit=f">= {FEWEST_MINUTES} minutes, else shorter returns",
            passed=volatility.samples * volatility.sample_s >= 60.0 * (FEWEST_MINUTES - 1),
            detail=f"{volatility.samples} returns of {volatility.sample_s:g} s",
        ),
        GateResult(
            name="touch_share",
            value=arrivals.touch_share,
            limit="<= 0.95, else large tick: kappa is not identified",
            passed=identified,
            detail=f"{arrivals.inside_share:.3f} of orders printed inside the touch",
        ),
        GateResult(
            name="kappa_precision",
            value=relative,
            limit="relative standard error <= 0.25",
            passed=relative <= 0.25 if identified else None,
            detail="block bootstrap" if identified else "large tick: kappa is not identified",
        ),
        GateResult(
            name="kappa_sides",
            value=sides_z if math.isfinite(sides_z) else None,
            limit="buy and sell within 3 standard errors",
            passed=bool(sides_z <= 3.0) if identified and math.isfinite(sides_z) else None,
            detail=f"buy {buy:.4g}, sell {sell:.4g}",
        ),
        GateResult(
            name="reach_shape",
            value=arrivals.shape_distance,
            limit="exponential within 0.05 of the orders' reach",
            passed=arrivals.shape_distance <= 0.05 if identified else None,
            detail="largest gap of the mean probability transform",
        ),
    ]
    if at_limit is not None:
        gates.append(
            GateResult(
                name="inventory_at_limit",
                value=chain.at_limit,
                limit=f"<= {at_limit:g} of the time at {chain.limit_orders} orders",
                passed=chain.at_limit <= at_limit * (1.0 + 1e-6),
                detail="exact stationary chain of the fitted rates; a replay on ticks is the check",
            )
        )
    return gates
