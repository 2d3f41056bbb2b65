"""How volatile is the mid: realised variance, and three estimators that disagree when it misleads."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calibrig.errors import InvalidTicksError
from calibrig.market.ticks import Quotes

__all__ = ["VolatilityFit", "estimate_volatility", "sample_mid"]

Float64Array = NDArray[np.float64]

_PARZEN_SQUARE = 0.269  # integral of the squared Parzen weight
_PARZEN_BANDWIDTH = 3.5134  # (12^2 / 0.269)^(1/5)
_FAST_STEPS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class VolatilityFit:
    """Annualised volatility of mid returns by four estimators, each with its standard error.

    Attributes
    ----------
    sigma, sigma_error : float
        Square root of the realised variance of ``sample_s`` returns, annualised.
    bipower, bipower_error : float
        From products of neighbouring absolute returns: jumps drop out (Barndorff-Nielsen, Shephard 2004).
    two_scale, two_scale_error : float
        NaN where no session is two ``sample_s`` long. Two time scales, noise differenced away (Zhang, Mykland, Ait-Sahalia 2005; the (J, K) form of
        Ait-Sahalia, Mykland, Zhang 2011, which allows dependent noise).
    kernel, kernel_error : float
        Realised kernel, Parzen weights (Barndorff-Nielsen, Hansen, Lunde, Shephard 2009).
    jump_share : float
        ``max(0, 1 - bipower^2 / sigma^2)``.
    disagreement : float
        Largest minus smallest of the four over ``sigma``.
    degraded : bool
        Whether the disagreement exceeds 0.3: one number does not describe this market.
    samples : int
        Returns used.
    sample_s : float
        Spacing of the returns, s.
    reference_price : float
        Mean mid, price units.
    """

    sigma: float
    sigma_error: float
    bipower: float
    bipower_error: float
    two_scale: float
    two_scale_error: float
    kernel: float
    kernel_error: float
    jump_share: float
    disagreement: float
    samples: int
    sample_s: float
    reference_price: float

    @property
    def degraded(self) -> bool:
        """Whether the four estimators differ by more than 30 %."""
        return self.disagreement > 0.3

    @property
    def detail(self) -> str:
        """The four figures in one line."""
        return (
            f"realised {self.sigma:.4g} +- {self.sigma_error:.2g}, bipower {self.bipower:.4g} +- "
            f"{self.bipower_error:.2g}, two-scale {self.two_scale:.4g} +- {self.two_scale_error:.2g}, kernel "
            f"{self.kernel:.4g} +- {self.kernel_error:.2g}, jump share {self.jump_share:.2f}, "
            f"{self.samples} returns of {self.sample_s:g} s"
        )


def sample_mid(quotes: Quotes, *, sample_s: float) -> list[Float64Array]:
    """Sample the mid on an even grid inside each session (last quote at or before each instant).

    Instants before the session's first two-sided quote are left out; no return spans two sessions.

    Parameters
    ----------
    quotes : Quotes
        Best bid and offer.
    sample_s : float
        Spacing, s.

    Returns
    -------
    list of ndarray of float64
        Mid in ticks, one array per session; sessions with fewer than two samples are left out.

    Examples
    --------
    >>> from calibrig import Instrument
    >>> quotes = Quotes(time_ns=[0, 1_500_000_000], bid_ticks=[99, 100], bid_lots=[1, 1], ask_ticks=[101, 102],
    ...     ask_lots=[1, 1], sessions=[[0, 3_000_000_000]],
    ...     instrument=Instrument(symbol="X", tick_size=1.0, lot_size=1.0))
    >>> [mid.tolist() for mid in sample_mid(quotes, sample_s=1.0)]
    [[100.0, 100.0, 101.0, 101.0]]
    """
    two_sided = (quotes.bid_ticks > 0) & (quotes.ask_ticks >= quotes.bid_ticks)
    time_ns, mid = quotes.time_ns[two_sided], quotes.mid_ticks()[two_sided]
    step_ns = round(sample_s * 1e9)
    sampled = []
    for start_ns, end_ns in quotes.sessions:
        low, high = np.searchsorted(time_ns, (start_ns, end_ns))
        grid = np.arange(start_ns, end_ns + 1, step_ns)
        index = np.searchsorted(time_ns[low:high], grid, side="right") - 1
        index = index[index >= 0]
        if len(index) > 1:
            sampled.append(np.ascontiguousarray(mid[low:high][index]))
    return sampled


def estimate_volatility(quotes: Quotes, *, sample_s: float = 60.0, fine_s: float = 1.0) -> VolatilityFit:
    """Estimate annualised volatility from the mid, never from trades; nothing spans two sessions.

    Parameters
    ----------
    quotes : Quotes
        Best bid and offer.
    sample_s : float
        Spacing of the returns of the realised variance and of bipower variation, s; the slow scale of two-scale.
    fine_s : float
        Grid of the two noise-robust estimators, s.

    Returns
    -------
    VolatilityFit

    Raises
    ------
    InvalidTicksError
        Fewer than 5 returns, or a mid that never moves.

    Examples
    --------
    >>> from calibrig import Instrument
    >>> walk = 100_000 + np.cumsum(np.random.default_rng(3).integers(-2, 3, 5_000))  # 2 ticks^2 a second
    >>> quotes = Quotes(time_ns=np.arange(5_000) * 10**9, bid_ticks=walk - 1, bid_lots=np.ones(5_000),
    ...     ask_ticks=walk + 1, ask_lots=np.ones(5_000), sessions=[[0, 5_000 * 10**9]],
    ...     instrument=Instrument(symbol="X", tick_size=0.01, lot_size=1.0))
    >>> fit = estimate_volatility(quotes)
    >>> truth = (2.0 * 31_557_600.0) ** 0.5 / 100_000
    >>> bool(abs(fit.sigma - truth) < 3 * fit.sigma_error)
    True
    """
    coarse = sample_mid(quotes, sample_s=sample_s)
    samples = sum(len(mid) - 1 for mid in coarse)
    if samples < 5:
        raise InvalidTicksError(
            f"{samples} mid returns of {sample_s:g} s for {quotes.instrument.symbol!r}; volatility needs at "
            "least 5: give a longer span of two-sided quotes"
        )
    returns = [np.diff(np.log(mid)) for mid in coarse]
    if not any(np.any(r) for r in returns):
        raise InvalidTicksError(
            f"the mid of {quotes.instrument.symbol!r} never moves over {samples} samples; give a longer span"
        )
    fine = [np.log(mid) for mid in sample_mid(quotes, sample_s=fine_s)]
    per_year = quotes.instrument.seconds_per_year
    realised = _realised(returns, sample_s)
    bipower = _bipower(returns, sample_s)
    quarticity = realised[2]
    two_scale = _two_scale(fine, fine_s, max(round(sample_s / fine_s), 2), quarticity)
    kernel = _kernel(fine, fine_s, realised[0], quarticity)
    figures = [_annualise(v, e, per_year) for v, e in (realised[:2], bipower, two_scale, kernel)]
    values = [value for value, _ in figures]
    known = [value for value in values if math.isfinite(value)]
    mean_mid = float(np.mean(np.concatenate(coarse)))
    return VolatilityFit(
        sigma=values[0],
        sigma_error=figures[0][1],
        bipower=values[1],
        bipower_error=figures[1][1],
        two_scale=values[2],
        two_scale_error=figures[2][1],
        kernel=values[3],
        kernel_error=figures[3][1],
        jump_share=max(0.0, 1.0 - (values[1] / values[0]) ** 2),
        disagreement=(max(known) - min(known)) / values[0],
        samples=samples,
        sample_s=sample_s,
        reference_price=quotes.instrument.to_price(mean_mid),
    )


def _annualise(rate: float, error: float, per_year: float) -> tuple[float, float]:
    if math.isnan(rate):
        return math.nan, math.nan
    sigma = math.sqrt(max(rate, 0.0) * per_year)
    return sigma, error * per_year / (2.0 * sigma) if sigma > 0.0 else math.inf


def _realised(returns: list[Float64Array], sample_s: float) -> tuple[float, float, float]:
    """Variance per second, its error by realised quarticity, and the spot quarticity per second squared."""
    r = np.concatenate(returns)
    seconds = len(r) * sample_s
    fourth = float(np.sum(r**4))
    return (
        float(r @ r) / seconds,
        math.sqrt(2.0 / 3.0 * fourth) / seconds,
        fourth / (3.0 * len(r) * sample_s**2),
    )


def _bipower(returns: list[Float64Array], sample_s: float) -> tuple[float, float]:
    products = np.concatenate([np.abs(r[1:] * r[:-1]) for r in returns])
    triples = np.concatenate([np.abs(r[2:] * r[1:-1] * r[:-2]) ** (4.0 / 3.0) for r in returns])
    third = 2.0 ** (2.0 / 3.0) * math.gamma(7.0 / 6.0) / math.gamma(0.5)  # E|z|^(4/3)
    quarticity = float(triples.mean()) / third**3 if len(triples) else 0.0
    n = len(products)
    rate = math.pi / 2.0 * float(products.mean()) / sample_s
    spread = (math.pi**2 / 4.0 + math.pi - 3.0) * quarticity / n
    return rate, math.sqrt(spread) / sample_s


def _two_scale(logs: list[Float64Array], fine_s: float, slow: int, quarticity: float) -> tuple[float, float]:
    fast = min(_FAST_STEPS, slow - 1)
    total = seconds = error = 0.0
    for log_mid in logs:
        n = len(log_mid) - 1
        if n < 2 * slow:
            continue
        starts_slow, starts_fast = n - slow + 1, n - fast + 1
        slow_sum = float(np.sum((log_mid[slow:] - log_mid[:-slow]) ** 2)) / slow
        fast_sum = float(np.sum((log_mid[fast:] - log_mid[:-fast]) ** 2)) / fast
        noise = (starts_slow / slow) / (starts_fast / fast) * fast_sum
        total += (slow_sum - noise) / (1.0 - fast / slow) * n / starts_slow  # unbiased in small samples too
        span = n * fine_s
        seconds += span
        error += 4.0 / 3.0 * slow * fine_s * span * quarticity
    return (total / seconds, math.sqrt(error) / seconds) if seconds else (math.nan, math.nan)


def _kernel(logs: list[Float64Array], fine_s: float, rate: float, quarticity: float) -> tuple[float, float]:
    total = seconds = error = 0.0
    for log_mid in logs:
        r = np.diff(log_mid)
        n, span = len(r), len(r) * fine_s
        noise_ratio = float(r @ r) / (2.0 * n) / (rate * span)
        bandwidth = min(math.ceil(_PARZEN_BANDWIDTH * noise_ratio**0.4 * n**0.6), n - 1)
        weights = _parzen(np.arange(1, bandwidth + 1) / (bandwidth + 1.0))
        lagged = np.array([float(r[lag:] @ r[:-lag]) for lag in range(1, bandwidth + 1)])
        total += float(r @ r) + 2.0 * float(weights @ lagged)
        seconds += span
        error += 4.0 * _PARZEN_SQUARE * (bandwidth + 1) * fine_s * span * quarticity
    return total / seconds, math.sqrt(error) / seconds


def _parzen(x: Float64Array) -> Float64Array:
    return np.where(x <= 0.5, 1.0 - 6.0 * x**2 + 6.0 * x**3, 2.0 * (1.0 - x) ** 3)
