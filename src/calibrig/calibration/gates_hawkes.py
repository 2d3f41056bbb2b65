"""The gates a Hawkes fit must pass on events it has not seen, and the verdict they add up to."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calibrig.parameters import GateResult, Verdict

__all__ = [
    "HeldOut",
    "QuantilePlot",
    "autocorrelation",
    "block_bootstrap_bounds",
    "decide",
    "judge_autocorrelation",
    "judge_gain",
    "judge_ks",
    "judge_mean",
    "judge_quantiles",
    "quantile_plot",
    "quantile_skill",
]

Float64Array = NDArray[np.float64]

FEWEST_EVENTS = 2_000
KS_FLOOR, KS_FACTOR = 0.02, 1.63
MEAN_FLOOR, MEAN_FACTOR = 0.03, 4.0
ACF_FLOOR, ACF_FACTOR, ACF_LAGS = 0.03, 4.0, 20
SKILL_LEAST = 0.8
NOTHING_TO_EXPLAIN = 0.995
POISSON_LEVEL, EXPONENTIAL_LEVEL = 0.99, 0.95
SIDES = (("buy", 1), ("sell", -1))


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantilePlot:
    """Points of a Q-Q plot of residuals against Exp(1), up to the 99.9 % quantile.

    Attributes
    ----------
    theory, model, poisson : ndarray of float64
        Quantiles of Exp(1), of the model's residuals, of the Poisson's residuals.
    low, high : ndarray of float64
        Pointwise 95 % band of Exp(1) order statistics.
    """

    theory: Float64Array
    model: Float64Array
    poisson: Float64Array
    low: Float64Array
    high: Float64Array


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut:
    """Figures on events the parameters had not seen, by side (+1, -1).

    Attributes
    ----------
    events : int
        How many.
    log_likelihood : float
        Of those events, given all before them.
    gain_over_poisson, gain_over_exponential : tuple of float
        Gain per event in nats, with its one-sided lower and upper bounds (99 % and 95 %).
    residuals : dict
        Time-rescaled residuals by side.
    quantiles : dict
        :class:`QuantilePlot` by side.
    skill : dict
        Q-Q skill by side; None where the Poisson leaves nothing to explain.
    autocorrelation : dict
        Residual autocorrelation at lags 1 .. 20 by side.
    """

    events: int
    log_likelihood: float
    gain_over_poisson: tuple[float, float, float]
    gain_over_exponential: tuple[float, float, float]
    residuals: dict[int, Float64Array]
    quantiles: dict[int, QuantilePlot]
    skill: dict[int, float | None]
    autocorrelation: dict[int, Float64Array]


def block_bootstrap_bounds(
    values: Float64Array, *, level: float, seed: int, resamples: int = 1_000
) -> tuple[float, float, float]:
    """Mean of dependent values with its one-sided lower and upper bounds, by resampling about 100 blocks.

    Examples
    --------
    >>> mean, low, high = block_bootstrap_bounds(np.full(1_000, 2.0), level=0.95, seed=1)
    >>> mean, low, high
    (2.0, 2.0, 2.0)
    """
    blocks = min(100, max(2, len(values) // 20))
    edges = np.linspace(0, len(values), blocks + 1).astype(np.intp)[:-1]
    sums = np.add.reduceat(values, edges)
    sizes = np.diff(np.append(edges, len(values)))
    draw = np.random.default_rng(seed).integers(0, blocks, (resamples, blocks))
    means = sums[draw].sum(axis=1) / sizes[draw].sum(axis=1)
    low, high = np.quantile(means, (1.0 - level, level))
    return float(values.mean()), float(low), float(high)


def _exponential_quantiles(n: int) -> tuple[NDArray[np.intp], Float64Array]:
    """Ranks of at most 2,000 points up to the 99.9 % quantile, and the Exp(1) quantiles of their positions."""
    top = max(int(0.999 * n), min(n, 10))
    ranks = np.unique(np.linspace(0, top - 1, min(top, 2_000)).astype(np.intp))
    return ranks, -np.log1p(-(ranks + 0.5) / n)


def quantile_plot(model: Float64Array, poisson: Float64Array) -> QuantilePlot:
    """Pair the quantiles of sorted residuals with those of Exp(1); plotting positions (i - 0.5) / n.

    Examples
    --------
    >>> sample = -np.log1p(-(np.arange(1_000) + 0.5) / 1_000)
    >>> plot = quantile_plot(sample, 2 * sample)
    >>> bool(np.allclose(plot.model, plot.theory))
    True
    """
    n = min(len(model), len(poisson))
    ranks, theory = _exponential_quantiles(n)
    p = (ranks + 0.5) / n
    spread = 1.96 * np.sqrt(p * (1 - p) / n) / (1 - p)
    return QuantilePlot(
        theory=theory,
        model=model[ranks],
        poisson=poisson[ranks],
        low=theory - spread,
        high=theory + spread,
    )


def quantile_skill(model: Float64Array, poisson: Float64Array) -> float | None:
    """Q-Q skill ``1 - SSE(model) / SSE(Poisson)`` of sorted residuals; None where the Poisson's own Q-Q R^2 is above 0.995.

    Examples
    --------
    >>> sample = -np.log1p(-(np.arange(1_000) + 0.5) / 1_000)
    >>> quantile_skill(1.1 * sample, 2 * sample)
    0.99
    >>> quantile_skill(sample, sample) is None
    True
    """
    if min(len(model), len(poisson)) < 10:
        return None
    theory = _plotting_quantiles(len(model))
    same = theory if len(poisson) == len(model) else _plotting_quantiles(len(poisson))
    model_error, _ = _quantile_error(model, theory)
    poisson_error, poisson_spread = _quantile_error(poisson, same)
    if poisson_error < (1.0 - NOTHING_TO_EXPLAIN) * poisson_spread:
        return None
    return round(1.0 - model_error / poisson_error, 12)


def _quantile_error(ordered: Float64Array, theory: Float64Array) -> tuple[float, float]:
    """Mean squared distance of sorted values from Exp(1)'s quantiles, up to the 99.9 %, and their variance."""
    n = len(ordered)
    top = max(int(0.999 * n), min(n, 10))
    values = ordered[:top]
    return float(((values - theory[:top]) ** 2).mean()), float(values.var())


def _plotting_quantiles(n: int) -> Float64Array:
    """Exp(1) quantiles of the plotting positions (i - 0.5) / n."""
    theory: Float64Array = -np.log1p(-(np.arange(n) + 0.5) / n)
    return theory


def judge_gain(name: str, bounds: tuple[float, float, float], against: str, level: float) -> GateResult:
    """Log-likelihood gain per held-out event; its one-sided lower bound must be above 0."""
    mean, low, high = bounds
    return GateResult(
        name=name,
        value=mean,
        limit=f"{level:.0%} lower bound > 0".replace("%", " %"),
        passed=bool(low > 0.0),
        detail=f"nats per event over {against}, bounds {low:.4g} and {high:.4g}",
    )


def judge_ks(residuals: dict[int, Float64Array]) -> list[GateResult]:
    """Kolmogorov distance between the residuals and Exp(1), per side."""
    out = []
    for name, side in SIDES:
        values = np.sort(residuals[side])
        n = len(values)
        limit = max(KS_FLOOR, KS_FACTOR / math.sqrt(n))
        cdf = -np.expm1(-values)
        steps = np.arange(n) / n
        distance = float(max(np.max(cdf - steps), np.max(steps + 1.0 / n - cdf)))
        out.append(_at_most(f"ks_distance_{name}", distance, limit, n))
    return out


def judge_mean(residuals: dict[int, Float64Array]) -> list[GateResult]:
    """Mean residual per side: 1 if the rate is right (a pooled mean hides asymmetric sides)."""
    out = []
    for name, side in SIDES:
        n = len(residuals[side])
        limit = max(MEAN_FLOOR, MEAN_FACTOR / math.sqrt(n))
        mean = float(residuals[side].mean())
        out.append(
            GateResult(
                name=f"mean_residual_{name}",
                value=mean,
                limit=f"within {limit:.3g} of 1",
                passed=bool(abs(mean - 1.0) <= limit),
                detail=f"{n} residuals",
            )
        )
    return out


def autocorrelation(values: Float64Array, lags: int = ACF_LAGS) -> Float64Array:
    """Autocorrelation at lags 1 .. lags, shape (lags,)."""
    centred = values - values.mean()
    power = float(np.einsum("i,i->", centred, centred))
    # einsum, not @: a threaded BLAS spends milliseconds waking up for each of these short sums
    return np.array(
        [float(np.einsum("i,i->", centred[:-k], centred[k:])) / power for k in range(1, lags + 1)]
    )


def judge_autocorrelation(correlations: dict[int, Float64Array], counts: dict[int, int]) -> list[GateResult]:
    """Largest residual autocorrelation over lags 1 .. 20, per side."""
    out = []
    for name, side in SIDES:
        limit = max(ACF_FLOOR, ACF_FACTOR / math.sqrt(counts[side]))
        worst = float(np.abs(correlations[side]).max())
        out.append(_at_most(f"autocorrelation_{name}", worst, limit, counts[side], strict=True))
    return out


def judge_quantiles(skill: dict[int, float | None]) -> GateResult:
    """Q-Q skill, the worse of the two sides; it never stands alone."""
    known = [value for value in skill.values() if value is not None]
    if not known:
        return GateResult(
            name="qq_skill",
            value=None,
            limit=f"> {SKILL_LEAST}",
            passed=None,
            detail="the Poisson's own Q-Q R^2 exceeds 0.995: nothing to explain",
        )
    return GateResult(
        name="qq_skill",
        value=min(known),
        limit=f"> {SKILL_LEAST}",
        passed=min(known) > SKILL_LEAST,
        detail="1 - SSE(model) / SSE(Poisson) of the Q-Q plots, worse side",
    )


def _at_most(name: str, value: float, limit: float, n: int, *, strict: bool = False) -> GateResult:
    return GateResult(
        name=name,
        value=value,
        limit=f"{'<' if strict else '<='} {limit:.3g}",
        passed=value < limit if strict else value <= limit,
        detail=f"{n} residuals",
    )


def decide(gates: tuple[GateResult, ...], fewest_side: int) -> tuple[Verdict, str, tuple[str, ...]]:
    """Add the gates up: verdict, reason in one sentence, and the names of what a restriction forbids."""
    failed = [gate.name for gate in gates if gate.passed is False]
    if fewest_side < FEWEST_EVENTS:
        reason = f"TOO_FEW_EVENTS: {fewest_side} events on one side; the gates need {FEWEST_EVENTS}"
        return Verdict.TOO_FEW_EVENTS, reason, ()
    if "held_out" in failed:
        detail = next(gate.detail for gate in gates if gate.name == "held_out")
        return Verdict.FAIL, f"held_out: {detail}", ()
    if "gain_over_poisson" in failed:
        reason = "NO_SELF_EXCITATION: held-out events are explained as well by a seasonal Poisson process"
        return Verdict.NO_SELF_EXCITATION, reason, ()
    if "resolution" in failed:
        reason = (
            "RESOLUTION_LIMITED: beta is below 10 x the clock's step; the intensity is usable above 10 x the step, "
            "where ks_above_resolution holds, beta itself is not"
        )
        excused = {"resolution", "gain_over_exponential", "bounds", "ks_distance_buy", "ks_distance_sell"}
        hard = [
            name for name in failed if name not in excused
        ]  # residuals below the step are the spreading's
        if not hard:
            return Verdict.RESTRICTED, reason, ("no_beta_below_resolution",)
        return Verdict.FAIL, f"{reason}; and gates failed: {', '.join(hard)}", ()
    if "gain_over_exponential" in failed:
        hard = [name for name in failed if name not in {"gain_over_exponential", "bounds"}]
        reason = "EXPONENTIAL_IS_ENOUGH: the power law gains nothing over an exponential kernel; stored as its limit"
        if not hard:
            return Verdict.RESTRICTED, reason, ("no_long_memory",)
        return Verdict.FAIL, f"gates failed: {', '.join(failed)}", ()
    if failed:
        return Verdict.FAIL, f"gates failed: {', '.join(failed)}", ()
    return Verdict.PASS, "every gate holds on held-out events", ()
