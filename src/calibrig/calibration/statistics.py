"""Is a Sharpe ratio evidence: its error, probabilistic and deflated forms, and overfitting by CSCV."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from calibrig.errors import InvalidInputError

__all__ = [
    "OverfittingProbability",
    "SharpeRatio",
    "compute_deflated_sharpe",
    "compute_expected_maximum_sharpe",
    "compute_overfitting_probability",
    "compute_probabilistic_sharpe",
    "compute_sharpe",
]

Float64Array = NDArray[np.float64]

_EULER = 0.5772156649015329
# Below, a sample's own kurtosis is bound by its size (1 for two periods), and the error would vanish.
_FEWEST_FOR_MOMENTS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class SharpeRatio:
    """Sharpe ratio per period, with the moments its error depends on.

    Attributes
    ----------
    per_period : float
        Mean over standard deviation (ddof 1) of the periods; 0 where nothing varies and the mean is 0.
    standard_error : float
        ``sqrt((1 - g3 SR + (g4 - 1)/4 SR^2) / (T - 1))`` per period (Mertens 2002); under 20 periods no less than
        that of a normal, ``sqrt((1 + SR^2 / 2) / (T - 1))`` (Lo 2002).
    skewness, kurtosis : float
        g3, and g4 (raw: 3 for a normal).
    periods : int
        T.
    periods_per_year : float
        For annualising.
    """

    per_period: float
    standard_error: float
    skewness: float
    kurtosis: float
    periods: int
    periods_per_year: float

    @property
    def annual(self) -> float:
        """``per_period * sqrt(periods_per_year)``."""
        return self.per_period * math.sqrt(self.periods_per_year)

    @property
    def annual_error(self) -> float:
        """Standard error of :attr:`annual`."""
        return self.standard_error * math.sqrt(self.periods_per_year)


def compute_sharpe(pnl: Float64Array, *, periods_per_year: float = 252.0) -> SharpeRatio:
    """Compute the Sharpe ratio of a series of period results.

    Parameters
    ----------
    pnl : ndarray of float64, shape (T,)
        Net result per period; at least 2.
    periods_per_year : float
        252 for US equities, 365 where every day trades.

    Examples
    --------
    >>> ratio = compute_sharpe(np.array([1.0, 3.0, 2.0, 2.0]))
    >>> round(ratio.per_period, 6), ratio.periods  # mean 2, standard deviation sqrt(2/3)
    (2.44949, 4)
    """
    pnl = np.asarray(pnl, dtype=np.float64)
    periods = len(pnl)
    if periods < 2:
        raise InvalidInputError(f"a Sharpe ratio of {periods} periods is not defined; give at least 2")
    mean, deviation = float(pnl.mean()), float(pnl.std(ddof=1))
    if deviation <= 1e-15 * max(abs(mean), 1e-300):
        return SharpeRatio(
            per_period=0.0 if mean == 0.0 else math.copysign(math.inf, mean),
            standard_error=math.inf,
            skewness=0.0,
            kurtosis=3.0,
            periods=periods,
            periods_per_year=periods_per_year,
        )
    centred = (pnl - mean) / float(pnl.std())
    skewness, kurtosis = float(np.mean(centred**3)), float(np.mean(centred**4))
    ratio = mean / deviation
    spread = 1.0 - skewness * ratio + (kurtosis - 1.0) / 4.0 * ratio**2
    if periods < _FEWEST_FOR_MOMENTS:
        spread = max(spread, 1.0 + 0.5 * ratio**2)
    return SharpeRatio(
        per_period=ratio,
        standard_error=math.sqrt(max(spread, 0.0) / (periods - 1)),
        skewness=skewness,
        kurtosis=kurtosis,
        periods=periods,
        periods_per_year=periods_per_year,
    )


def compute_probabilistic_sharpe(ratio: SharpeRatio, *, benchmark_per_period: float = 0.0) -> float:
    """Return the chance that the true Sharpe ratio exceeds a benchmark (Bailey, Lopez de Prado 2012).

    ``Phi((SR - SR*) sqrt(T - 1) / sqrt(1 - g3 SR + (g4 - 1)/4 SR^2))``, everything per period.

    Examples
    --------
    >>> ratio = SharpeRatio(per_period=0.1, standard_error=0.05, skewness=0.0, kurtosis=3.0, periods=402,
    ...     periods_per_year=252.0)
    >>> round(compute_probabilistic_sharpe(ratio), 4)  # Phi(2)
    0.9772
    """
    if not ratio.standard_error > 0.0 or not math.isfinite(ratio.standard_error):
        return 0.0
    return float(ndtr((ratio.per_period - benchmark_per_period) / ratio.standard_error))


def compute_expected_maximum_sharpe(*, trials: int, deviation_per_period: float) -> float:
    """Return the best Sharpe ratio to expect from trials without any edge, per period.

    ``sd ((1 - e) Phi^-1(1 - 1/N) + e Phi^-1(1 - 1/(N exp 1)))``, e = 0.5772 (Bailey, Lopez de Prado 2014).

    Parameters
    ----------
    trials : int
        N, every variant that was looked at; 1 gives 0.
    deviation_per_period : float
        Standard deviation of the Sharpe ratios over the trials.

    Examples
    --------
    >>> round(compute_expected_maximum_sharpe(trials=100, deviation_per_period=1.0), 4)
    2.5306
    """
    if trials < 1:
        raise InvalidInputError(f"{trials} trials; count at least the one that was made")
    if trials == 1:
        return 0.0
    first = float(ndtri(1.0 - 1.0 / trials))
    second = float(ndtri(1.0 - 1.0 / (trials * math.e)))
    return deviation_per_period * ((1.0 - _EULER) * first + _EULER * second)


def compute_deflated_sharpe(ratio: SharpeRatio, *, trials: int, deviation_per_period: float) -> float:
    """Return the probabilistic Sharpe ratio against the best of N worthless trials (deflated Sharpe ratio).

    Parameters
    ----------
    ratio : SharpeRatio
        Of the variant that was picked.
    trials : int
        Variants looked at.
    deviation_per_period : float
        Standard deviation of their Sharpe ratios.

    Examples
    --------
    The example of Bailey and Lopez de Prado (2014): 2.5 a year over 1,250 days, skewness -3, kurtosis 10, 100
    trials whose yearly ratios have variance 1/2 give 0.9004.

    >>> sr = 2.5 / math.sqrt(250)
    >>> error = math.sqrt((1 + 3 * sr + 9 / 4 * sr**2) / 1249)
    >>> ratio = SharpeRatio(per_period=sr, standard_error=error, skewness=-3.0, kurtosis=10.0, periods=1250,
    ...     periods_per_year=250.0)
    >>> round(compute_deflated_sharpe(ratio, trials=100, deviation_per_period=math.sqrt(0.5 / 250)), 4)
    0.9004
    """
    hurdle = compute_expected_maximum_sharpe(trials=trials, deviation_per_period=deviation_per_period)
    return compute_probabilistic_sharpe(ratio, benchmark_per_period=hurdle)


@dataclass(frozen=True, slots=True, kw_only=True)
class OverfittingProbability:
    """Result of combinatorially symmetric cross-validation.

    Attributes
    ----------
    probability : float
        Share of splits in which the best variant in sample is in the lower half out of sample (PBO).
    splits, blocks : int
        Splits judged, and blocks the days were cut into.
    """

    probability: float
    splits: int
    blocks: int


def compute_overfitting_probability(
    results: Float64Array, *, blocks: int | None = None
) -> OverfittingProbability:
    """Estimate how often the variant picked in sample disappoints out of sample (PBO by CSCV).

    Bailey, Borwein, Lopez de Prado, Zhu (2017): cut the periods into an even number of blocks, train on every
    choice of half of them, pick the best Sharpe ratio, and rank it among all variants on the other half; PBO is
    the share of splits where its relative rank is at most one half.

    Parameters
    ----------
    results : ndarray of float64, shape (T, N)
        Net result per period and variant; N at least 2.
    blocks : int, optional
        Even; by default as many as leave 5 periods a block, 4 to 16 (6 on 30 days).

    Returns
    -------
    OverfittingProbability

    Examples
    --------
    >>> days = np.random.default_rng(2).standard_normal((60, 8))
    >>> days[:, 3] += 1.0  # one variant is truly better
    >>> compute_overfitting_probability(days).probability < 0.01
    True
    """
    periods, variants = results.shape
    if blocks is None:
        blocks = int(min(max(periods // 5 // 2 * 2, 4), 16))
    if blocks % 2 or periods < 2 * blocks or variants < 2:
        raise InvalidInputError(
            f"CSCV of {variants} variants over {periods} periods in {blocks} blocks is not possible; give at "
            "least 2 variants, an even number of blocks and 2 periods a block"
        )
    parts = np.array_split(np.arange(periods), blocks)
    sums = np.array([results[p].sum(axis=0) for p in parts])
    squares = np.array([(results[p] ** 2).sum(axis=0) for p in parts])
    sizes = np.array([len(p) for p in parts], dtype=np.float64)
    inside = np.zeros((math.comb(blocks, blocks // 2), blocks))
    for row, chosen in enumerate(itertools.combinations(range(blocks), blocks // 2)):
        inside[row, list(chosen)] = 1.0
    trained = _ratios(inside @ sums, inside @ squares, inside @ sizes)
    outside = 1.0 - inside
    tested = _ratios(outside @ sums, outside @ squares, outside @ sizes)
    picked = np.take_along_axis(tested, np.argmax(trained, axis=1)[:, None], axis=1)
    below = np.sum(tested < picked, axis=1) + 0.5 * (np.sum(tested == picked, axis=1) - 1)
    rank = (below + 1.0) / (variants + 1.0)
    return OverfittingProbability(probability=float(np.mean(rank <= 0.5)), splits=len(inside), blocks=blocks)


def _ratios(sums: Float64Array, squares: Float64Array, sizes: Float64Array) -> Float64Array:
    """Sharpe ratio of each split and variant; rows are splits."""
    total = sizes[:, None]
    mean = sums / total
    variance = (squares - total * mean**2) / (total - 1.0)
    ratios: Float64Array = mean / np.sqrt(np.maximum(variance, 1e-300))
    return ratios
