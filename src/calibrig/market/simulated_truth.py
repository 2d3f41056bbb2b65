"""What is true in the simulated market, by formula."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from calibrig.errors import InvalidParametersError
from calibrig.parameters import HawkesParameters, Instrument

__all__ = ["MAX_DEPTH_LOTS", "SIGMA_INTERVAL_S", "SPREADS_TICKS", "MarketTruth", "compute_truth"]

SIGMA_INTERVAL_S = 60.0
MAX_DEPTH_LOTS = 20  # bid and ask depth are independent and uniform on 1 .. 20
SPREADS_TICKS = (17, 18, 19)  # equally likely


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketTruth:
    """Parameters of the simulated market, each comparable with what a fit estimates.

    Attributes
    ----------
    hawkes : HawkesParameters
        Order flow.
    arrival_rate : float
        A: expected orders per second and side over these sessions (they start without memory, so it lies a little
        below ``stationary_rate`` = lambda_base cosh(asymmetry) / (1 - n)).
    stationary_rate : float
        The limit for long sessions, 1/s.
    kappa : float
        Decay of the reach of orders, 1/price unit.
    sigma : float
        Annualised volatility of 1-minute returns, the predictor's share included.
    sigma_diffusion : float
        The Brownian part alone.
    reference_price : float
        Price at which every session opens.
    signal_horizon_s : float
        Horizon h of the three figures below, s.
    signal_coefficient_ticks : float
        Expected mid move over h per unit of depth imbalance, ticks.
    signal_coefficient : float
        The same in half-spreads.
    signal_r_squared : float
        Share of the variance of the mid move over h that depth imbalance explains.
    signal_clipped_r_squared : float
        The same for the move in half-spreads clipped to [-1, 1] (normal approximation).
    signal_decay_rate : float
        theta: depth is drawn anew at this rate, 1/s.
    imbalance_variance : float
        v: variance of the depth imbalance.
    """

    hawkes: HawkesParameters
    arrival_rate: float
    stationary_rate: float
    kappa: float
    sigma: float
    sigma_diffusion: float
    reference_price: float
    signal_horizon_s: float
    signal_coefficient_ticks: float
    signal_coefficient: float
    signal_r_squared: float
    signal_clipped_r_squared: float
    signal_decay_rate: float
    imbalance_variance: float

    def to_dict(self) -> dict[str, Any]:
        """Return the truth as plain values, ready for JSON."""
        values = {name: getattr(self, name) for name in self.__slots__}
        values["hawkes"] = msgspec.to_builtins(self.hawkes)
        return values


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceTruth:
    """The efficient price in ticks: ``dP = drift * imbalance * dt + diffusion * dW``."""

    drift: float
    diffusion: float


def compute_truth(
    *,
    hawkes: HawkesParameters,
    instrument: Instrument,
    session_s: float,
    reference_price: float,
    volatility: float,
    kappa: float,
    signal_r_squared: float,
    signal_horizon_s: float,
    signal_decay_rate: float,
) -> tuple[MarketTruth, PriceTruth]:
    """Return the truth, and the drift and diffusion of the price that make it true.

    With s = ``volatility`` in ticks per sqrt second, v the imbalance's variance, theta its decay rate,
    ``phi(h) = (1 - exp(-theta h)) / theta`` and ``K(h) = 2 v (h - phi(h)) / theta`` the variance of the integrated
    imbalance: the variance over h is ``diffusion^2 h + drift^2 K(h)`` plus 1/6 for rounding both ends to the grid,
    the part explained ``drift^2 v phi(h)^2``; drift and diffusion follow from R^2 and from s at one minute.
    """
    ticks = reference_price / instrument.tick_size
    s2 = (volatility * ticks) ** 2 / instrument.seconds_per_year
    v = _imbalance_variance()
    theta, h = signal_decay_rate, signal_horizon_s
    phi = -math.expm1(-theta * h) / theta
    excess = (
        _integrated_variance(v, theta, h)
        - h * _integrated_variance(v, theta, SIGMA_INTERVAL_S) / SIGMA_INTERVAL_S
    )
    rounding = 1.0 / 6.0
    drift2 = signal_r_squared * (s2 * h + rounding) / (v * phi**2 - signal_r_squared * excess)
    diffusion2 = s2 - drift2 * _integrated_variance(v, theta, SIGMA_INTERVAL_S) / SIGMA_INTERVAL_S
    if diffusion2 <= 0.0 or drift2 < 0.0:
        raise InvalidParametersError(
            f"signal_r_squared is {signal_r_squared}: at a decay rate of {theta:g} 1/s the predictor alone would "
            f"make more than the whole volatility {volatility:g}; lower it or lower signal_decay_rate"
        )
    drift = math.sqrt(drift2)
    half = [0.5 * spread for spread in SPREADS_TICKS]
    inverse = sum(1.0 / x for x in half) / len(half)
    variance = diffusion2 * h + drift2 * _integrated_variance(v, theta, h) + rounding
    clipped = sum(_clipped_share(math.sqrt(variance) / x) for x in half) / len(half)
    truth = MarketTruth(
        hawkes=hawkes,
        arrival_rate=_expected_rate(hawkes, session_s),
        stationary_rate=hawkes.lambda_base * math.cosh(hawkes.asymmetry) / (1.0 - hawkes.branching_ratio),
        kappa=kappa,
        sigma=volatility,
        sigma_diffusion=volatility * math.sqrt(diffusion2 / s2),
        reference_price=reference_price,
        signal_horizon_s=h,
        signal_coefficient_ticks=drift * phi,
        signal_coefficient=drift * phi * inverse,
        signal_r_squared=drift2 * v * phi**2 / variance,
        signal_clipped_r_squared=drift2 * v * phi**2 / variance * clipped,
        signal_decay_rate=theta,
        imbalance_variance=v,
    )
    return truth, PriceTruth(drift=drift, diffusion=math.sqrt(diffusion2))


def _imbalance_variance() -> float:
    """E[((b - a) / (b + a))^2] for independent b, a uniform on 1 .. MAX_DEPTH_LOTS; the mean is 0."""
    lots = np.arange(1, MAX_DEPTH_LOTS + 1)
    bid, ask = np.meshgrid(lots, lots)
    return float(np.mean(((bid - ask) / (bid + ask)) ** 2))


def _integrated_variance(v: float, theta: float, h: float) -> float:
    """Variance of the integral over h of a process with autocovariance v exp(-theta |lag|)."""
    return 2.0 * v * (h + math.expm1(-theta * h) / theta) / theta


def _clipped_share(s: float) -> float:
    """R^2 of a small linear effect on clip(X, -1, 1), X normal with deviation s, over its R^2 on X itself.

    The slope shrinks by P(|X| < 1) (Stein), the variance to E[clip(X)^2].
    """
    inside = math.erf(1.0 / (s * math.sqrt(2.0)))
    density = math.exp(-0.5 / s**2) / math.sqrt(2.0 * math.pi)
    second = s**2 * inside - 2.0 * s * density + (1.0 - inside)
    return inside**2 * s**2 / second


def _expected_rate(hawkes: HawkesParameters, session_s: float) -> float:
    """Mean of m(t) over a session, where m = baseline + kernel * m (Hawkes 1971), by FFT on a fine grid."""
    cells = max(64, min(1 << 16, round(session_s / min(0.5, hawkes.beta))))
    dt = session_s / cells
    edges = np.maximum(np.arange(cells + 1) - 0.5, 0.0) * dt
    tail = (hawkes.beta / (hawkes.beta + edges)) ** (hawkes.gamma - 1.0)
    mass = hawkes.branching_ratio * (tail[:-1] - tail[1:])
    profile = np.asarray(hawkes.profile)
    base = (
        profile[(np.arange(cells) * len(profile)) // cells] * hawkes.lambda_base * math.cosh(hawkes.asymmetry)
    )
    size = 2 * cells
    kernel = np.fft.rfft(mass, size)
    total = generation = base
    while generation.max() > 1e-9 * total.max():
        generation = np.maximum(np.fft.irfft(np.fft.rfft(generation, size) * kernel, size)[:cells], 0.0)
        total = total + generation
    return float(total.mean())
