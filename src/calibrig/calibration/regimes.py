"""How wild the market gets: thresholds of the volatility signal, by quantiles of the training data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calibrig.calibration.blocks import resample_stationary
from calibrig.errors import InvalidTicksError
from calibrig.market import Quotes
from calibrig.models.risk import VolatilityPath, compute_regime_signal, compute_regimes, compute_volatility
from calibrig.parameters import RiskParameters

__all__ = ["QUANTILES", "RegimeFit", "fit_regimes"]

Float64Array = NDArray[np.float64]

QUANTILES = (0.95, 0.99, 0.999)
_BINS = 13
_FEWEST_SAMPLES = 10
_FLOORS = (1.25, 1.5, 1.8)


@dataclass(frozen=True, slots=True, kw_only=True)
class RegimeFit:
    """Thresholds of z with their errors, and what they do on the training data.

    Attributes
    ----------
    thresholds : tuple of float
        The quantiles, but at least 1.25, 1.5, 1.8: a regime is left below 0.8 of its threshold, and under a lower one
        that exit would lie below the median, so that a market of constant volatility would never be NORMAL again.
    quantiles, threshold_errors : tuple of float
        95, 99 and 99.9 % quantiles of z; errors by a block bootstrap with blocks of three half-lives.
    medians : tuple of float
        Median volatility by time-of-day bin, mid return per sqrt second; one bin where there is one session.
    time_share : tuple of float
        Share of time in NORMAL, ELEVATED, HIGH_STRESS, HALTED.
    changes, changes_without_hysteresis : int
        Regime changes with the machine that trades, and if every threshold crossing counted.
    samples : int
        Values of z.
    expected_exceedances : float
        Samples expected above the highest threshold in independent half-lives; below 1 it is a guess.
    half_life_s, sample_s : float
        Definition of z.
    """

    thresholds: tuple[float, float, float]
    quantiles: tuple[float, float, float]
    threshold_errors: tuple[float, float, float]
    medians: tuple[float, ...]
    time_share: tuple[float, float, float, float]
    changes: int
    changes_without_hysteresis: int
    samples: int
    expected_exceedances: float
    half_life_s: float
    sample_s: float


def fit_regimes(
    quotes: Quotes, *, half_life_s: float = 300.0, sample_s: float = 5.0, replicas: int = 400, seed: int = 0
) -> RegimeFit:
    """Fit the regime thresholds to training quotes.

    Parameters
    ----------
    quotes : Quotes
        Best bid and offer.
    half_life_s, sample_s : float
        Of the volatility behind z, s.
    replicas, seed : int
        Block bootstrap of the quantiles.

    Returns
    -------
    RegimeFit

    Raises
    ------
    InvalidTicksError
        Fewer than 10 values of z.

    Examples
    --------
    >>> from calibrig.market import Instrument
    >>> walk = 10_000 + np.cumsum(np.random.default_rng(3).integers(-2, 3, 7_200))
    >>> quotes = Quotes(time_ns=np.arange(7_200) * 10**9, bid_ticks=walk, bid_lots=np.ones(7_200), ask_ticks=walk + 2,
    ...     ask_lots=np.ones(7_200), sessions=[[0, 7_200 * 10**9]],
    ...     instrument=Instrument(symbol="X", tick_size=0.01, lot_size=1.0))
    >>> fit = fit_regimes(quotes)
    >>> len(fit.medians), 1.0 < fit.quantiles[0] < fit.quantiles[1] < fit.quantiles[2] < 1.5, fit.thresholds
    (1, True, (1.25, 1.5, 1.8))
    """
    two_sided = (quotes.bid_ticks > 0) & (quotes.ask_ticks >= quotes.bid_ticks)
    path = compute_volatility(
        quotes.time_ns[two_sided],
        quotes.mid_ticks()[two_sided],
        quotes.sessions,
        half_life_s=half_life_s,
        sample_s=sample_s,
    )
    known = np.isfinite(path.volatility)
    if int(known.sum()) < _FEWEST_SAMPLES or not np.any(path.volatility[known] > 0.0):
        raise InvalidTicksError(
            f"{int(known.sum())} values of the volatility signal for {quotes.instrument.symbol!r}; regimes need "
            f"at least {_FEWEST_SAMPLES} with a moving mid: give a longer span"
        )
    medians = _medians(path, quotes.sessions, known)
    z = compute_regime_signal(path, quotes.sessions, medians)
    quantiles = np.quantile(z[known], QUANTILES)
    thresholds = _raise_to_floors(quantiles)
    block = 3.0 * half_life_s / sample_s
    parameters = build_thresholds(thresholds, medians, half_life_s=half_life_s, sample_s=sample_s)
    regimes = compute_regimes(path.time_ns, z, parameters, session=path.session)
    naive = np.searchsorted(np.array(thresholds), z[known], side="right")
    share = np.bincount(regimes, minlength=4) / len(regimes)
    return RegimeFit(
        thresholds=thresholds,
        quantiles=(float(quantiles[0]), float(quantiles[1]), float(quantiles[2])),
        threshold_errors=_quantile_errors(z[known], block, replicas, seed),
        medians=medians,
        time_share=(float(share[0]), float(share[1]), float(share[2]), float(share[3])),
        changes=int(np.count_nonzero(np.diff(regimes))),
        changes_without_hysteresis=int(np.count_nonzero(np.diff(naive))),
        samples=int(known.sum()),
        expected_exceedances=float(known.sum()) * (1.0 - QUANTILES[2]) * sample_s / half_life_s,
        half_life_s=half_life_s,
        sample_s=sample_s,
    )


def build_thresholds(
    thresholds: tuple[float, float, float],
    medians: tuple[float, ...],
    *,
    half_life_s: float,
    sample_s: float,
    max_position: int = 0,
) -> RiskParameters:
    """Return a record with these thresholds and the standard multipliers."""
    return RiskParameters(
        max_position=max_position,
        normal_volatility_threshold=thresholds[0],
        elevated_volatility_threshold=thresholds[1],
        high_stress_volatility_threshold=thresholds[2],
        volatility_half_life_s=half_life_s,
        volatility_sample_s=sample_s,
        volatility_medians=medians,
    )


def _medians(
    path: VolatilityPath, sessions: NDArray[np.int64], known: NDArray[np.bool_]
) -> tuple[float, ...]:
    """One per bin; with one session a profile would take its own volatility for the shape of every day."""
    bins = _BINS if len(sessions) > 1 else 1
    start, end = sessions[path.session, 0], sessions[path.session, 1]
    which = np.minimum((path.time_ns - start) * bins // (end - start), bins - 1)
    moving = known & (path.volatility > 0.0)
    overall = float(np.median(path.volatility[moving]))
    return tuple(
        float(np.median(path.volatility[moving & (which == b)])) if np.any(moving & (which == b)) else overall
        for b in range(bins)
    )


def _raise_to_floors(values: Float64Array) -> tuple[float, float, float]:
    """Thresholds at or above their floors, kept apart by a thousandth where quantiles tie."""
    first = max(float(values[0]), _FLOORS[0])
    second = max(float(values[1]), _FLOORS[1], first * 1.001)
    return first, second, max(float(values[2]), _FLOORS[2], second * 1.001)


def _quantile_errors(z: Float64Array, block: float, replicas: int, seed: int) -> tuple[float, float, float]:
    generator = np.random.default_rng(seed)
    found = np.empty((replicas, 3))
    for row in range(replicas):
        drawn = resample_stationary(len(z), block_length=min(block, len(z)), paths=1, generator=generator)
        found[row] = np.quantile(z[drawn[0]], QUANTILES)
    errors = found.std(axis=0, ddof=1)
    return float(errors[0]), float(errors[1]), float(errors[2])
