"""Fit one kernel to one or two sides without judging it: power law, exponential or none, for comparison."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from calibrig.calibration.hawkes_errors import covariance
from calibrig.calibration.hawkes_input import FEWEST_TO_FIT, ChildFills, check_counts, read_input
from calibrig.calibration.hawkes_profile import estimate_profile
from calibrig.calibration.hawkes_search import SEARCH_NAMES, Optimum, reported_value, search_optimum
from calibrig.errors import InvalidInputError, InvalidTicksError
from calibrig.market.ticks import Trades
from calibrig.models.hawkes_events import HawkesEvents, prepare_events
from calibrig.models.hawkes_nodes import NodeSet
from calibrig.models.hawkes_passes import HawkesLikelihood, usable_threads

__all__ = ["KernelFit", "fit_hawkes_kernel"]

Float64Array = NDArray[np.float64]
KernelName = Literal["power_law", "exponential", "poisson"]

_KERNELS = ("power_law", "exponential", "poisson")
_WORDS = {
    "power_law": "power-law Hawkes process",
    "exponential": "exponential Hawkes process",
    "poisson": "Poisson process",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelFit:
    """Maximum-likelihood estimates of one kernel; nothing is judged, so nothing of it can be stored.

    Attributes
    ----------
    kernel : {"power_law", "exponential", "poisson"}
        What was fitted.
    sides : {1, 2}
        1: one stream of events; 2: buys and sells that excite each other.
    estimates, standard_errors : dict of str to float
        ``lambda_base`` (1/s), ``n_self``, ``n_cross``, ``beta`` (s) and ``gamma`` or ``decay`` (1/s), ``asymmetry``:
        those that the kernel and the number of sides have. Errors are from the observed information; nan at a bound.
    log_likelihood : float
        Nats, all events.
    events : int
        Events used.
    iterations : int
        Newton steps on the full history (0 for Poisson: its maximum is a formula).
    converged : bool
        Whether the search ended at a maximum.
    at_bound : tuple of str
        Parameters at the edge of the search, such as gamma where an exponential would do.
    fit_s : float
        Seconds.
    notes : tuple of str
        What was done to the events.
    """

    kernel: KernelName
    sides: Literal[1, 2]
    estimates: dict[str, float]
    standard_errors: dict[str, float]
    log_likelihood: float
    events: int
    iterations: int
    converged: bool
    at_bound: tuple[str, ...]
    fit_s: float
    notes: tuple[str, ...]

    @property
    def branching_ratio(self) -> float:
        """Mean number of direct answers to an event, both sides; 0 for Poisson."""
        return self.estimates.get("n_self", 0.0) + self.estimates.get("n_cross", 0.0)

    @property
    def information_criterion(self) -> float:
        """Akaike's: ``2 k - 2 log L`` with k estimated parameters; the smaller is the better description."""
        return 2.0 * len(self.estimates) - 2.0 * self.log_likelihood

    def summary(self) -> str:
        """Return the estimates with their standard errors as text."""
        side = "one-sided" if self.sides == 1 else "two-sided"
        rows = [
            f"{side} {_WORDS[self.kernel]}, {self.events:,} events",
            f"  log-likelihood {self.log_likelihood:.3f}, AIC {self.information_criterion:.3f}",
        ]
        for name, value in self.estimates.items():
            error = self.standard_errors[name]
            rows.append(f"  {name:12} {value:>12.6g}  +- {error:.3g}")
        if self.at_bound:
            rows.append(f"  at a bound: {', '.join(self.at_bound)}")
        rows += [f"  note: {note}" for note in self.notes]
        return "\n".join(rows)

    def to_dict(self) -> dict[str, Any]:
        """Return the fit as plain values for JSON."""
        return {
            "kernel": self.kernel,
            "sides": self.sides,
            "estimates": dict(self.estimates),
            "standard_errors": {
                name: error if math.isfinite(error) else None for name, error in self.standard_errors.items()
            },
            "log_likelihood": self.log_likelihood,
            "information_criterion": self.information_criterion,
            "events": self.events,
            "iterations": self.iterations,
            "converged": self.converged,
            "at_bound": list(self.at_bound),
            "fit_s": self.fit_s,
            "notes": list(self.notes),
        }


def fit_hawkes_kernel(
    events: Trades | tuple[ArrayLike, ArrayLike] | NDArray[np.int64],
    *,
    kernel: KernelName = "power_law",
    sessions: ArrayLike | None = None,
    profile_bins: int = 13,
    threads: int | None = None,
    seed: int = 0,
    resolution_ns: int | None = None,
    child_fills: ChildFills = "auto",
) -> KernelFit:
    """Fit one kernel by maximum likelihood, for comparison; :func:`fit_hawkes` is the fit that is judged.

    Parameters
    ----------
    events : Trades, (time_ns, side), or array of int64, shape (n,)
        Signed market orders, or the times (ns) of one stream of events: the one-sided model
        ``lambda(t) = lambda_base b(t) + sum n_self phi(t - t_j)``.
    kernel : {"power_law", "exponential", "poisson"}
        phi, of unit mass: ``(gamma-1) beta^(gamma-1) (beta+t)^-gamma``, ``decay exp(-decay t)``, or none.
    sessions, profile_bins, threads, seed, resolution_ns, child_fills
        As in :func:`fit_hawkes`.

    Returns
    -------
    KernelFit

    Raises
    ------
    InvalidInputError
        If the kernel is none of the three.
    InvalidTicksError
        If the events cannot be fitted: unsorted, unsigned, too few.

    Examples
    --------
    >>> from calibrig import HawkesParameters, simulate_hawkes
    >>> truth = HawkesParameters(alpha_self=0.3, alpha_cross=0.0, beta=0.5, gamma=2.0, lambda_base=1.0)
    >>> session = [(0, 3_600 * 10**9)]
    >>> time_ns, side = simulate_hawkes(truth, sessions=session, seed=4)
    >>> power, rival = (fit_hawkes_kernel(time_ns[side == 1], kernel=k, sessions=session) for k in ("power_law", "poisson"))
    >>> abs(power.branching_ratio - 0.6) < 4 * power.standard_errors["n_self"]
    True
    >>> power.information_criterion < rival.information_criterion
    True
    """
    began = time.perf_counter()
    if kernel not in _KERNELS:
        raise InvalidInputError(f"kernel is {kernel!r}; give 'power_law', 'exponential' or 'poisson'")
    usable_threads(threads)
    sides: Literal[1, 2]
    if isinstance(events, (Trades, tuple)):
        sides = 2
        data = read_input(events, sessions, resolution_ns, child_fills, seed)
        sample, notes = data.events, data.notes
        check_counts(sample)
    else:
        sides = 1
        times = np.asarray(events)
        sample = prepare_events(
            times,
            np.ones(times.shape, dtype=np.int8),
            sessions=sessions,
            resolution_ns=resolution_ns,
            seed=seed,
        )
        notes = ()
        if len(sample) < FEWEST_TO_FIT:
            raise InvalidTicksError(f"{len(sample)} events; a fit needs at least {FEWEST_TO_FIT}: give more")
    profile = estimate_profile(sample, profile_bins)
    at_bound: tuple[str, ...] = ()
    if kernel == "poisson":
        estimates, errors, value = _fit_poisson(sample, profile, sides)
        iterations, converged = 0, True
    else:
        optimum, likelihood = search_optimum(
            sample, profile=profile, sides=sides, kernel=kernel, threads=threads
        )
        estimates, errors = _name_estimates(optimum, kernel)
        value = _value(likelihood, optimum.u, kernel)
        iterations, converged = optimum.iterations, optimum.converged
        at_bound = tuple("decay" if n == "beta" and kernel == "exponential" else n for n in optimum.at_bound)
    return KernelFit(
        kernel=kernel,
        sides=sides,
        estimates=estimates,
        standard_errors=errors,
        log_likelihood=value,
        events=len(sample),
        iterations=iterations,
        converged=converged,
        at_bound=at_bound,
        fit_s=time.perf_counter() - began,
        notes=notes,
    )


def _value(
    likelihood: HawkesLikelihood, u: Float64Array, kernel: Literal["power_law", "exponential"]
) -> float:
    if kernel == "power_law":
        return reported_value(likelihood, u, kernel)
    likelihood.prepare(
        NodeSet(start=np.array([math.exp(-u[3])]), depth=1, log_ratio=1.0)
    )  # exact on its own node
    return likelihood.evaluate(u, kernel=kernel).value


def _name_estimates(optimum: Optimum, kernel: str) -> tuple[dict[str, float], dict[str, float]]:
    """Natural parameters with errors by the delta method: of exp(u) it is exp(u) times that of u."""
    deviation = np.sqrt(np.diag(covariance(optimum)))
    estimates, errors = {}, {}
    for k, name in enumerate(SEARCH_NAMES):
        if not optimum.free[k]:
            continue
        value, error = float(optimum.u[k]), float(deviation[k])
        if name == "asymmetry":
            estimates[name], errors[name] = value, error
        elif name == "gamma":
            estimates[name], errors[name] = 1.0 + math.exp(value), math.exp(value) * error
        elif name == "beta" and kernel == "exponential":  # u is log(1 / decay)
            estimates["decay"], errors["decay"] = math.exp(-value), math.exp(-value) * error
        else:
            estimates[name], errors[name] = math.exp(value), math.exp(value) * error
    return estimates, errors


def _fit_poisson(
    sample: HawkesEvents, profile: Float64Array, sides: int
) -> tuple[dict[str, float], dict[str, float], float]:
    """Counts over observed time; the log rates of the sides have errors 1/sqrt(n) and are independent."""
    total_s = float(sample.profile_totals_s(profile).sum())
    counts = np.array(sample.count_sides() if sides == 2 else [len(sample)], dtype=np.float64)
    log_rate = np.log(counts / total_s)
    heights = profile[sample.profile_bins(len(profile))]
    value = float(counts @ log_rate + np.log(heights).sum() - counts.sum())
    base = math.exp(float(log_rate.mean()))
    spread = math.sqrt(float((1.0 / counts).sum())) / len(counts)
    estimates, errors = {"lambda_base": base}, {"lambda_base": base * spread}
    if sides == 2:
        estimates["asymmetry"] = 0.5 * float(log_rate[0] - log_rate[1])
        errors["asymmetry"] = spread
    return estimates, errors, value
