"""What given Hawkes parameters say of given events: log-likelihood, gradient, compensator, residuals, intensity."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from calibrig._native import hawkes as _native  # noqa: TID251
from calibrig.models.hawkes_coordinates import from_search, search_by_field, to_search
from calibrig.models.hawkes_events import prepare_events
from calibrig.models.hawkes_passes import (
    Evaluation,
    HawkesLikelihood,
    Kernel,
    Trace,
    precise_nodes,
    usable_threads,
)
from calibrig.parameters import HawkesParameters

__all__ = [
    "Evaluation",
    "HawkesLikelihood",
    "Kernel",
    "Trace",
    "compensator",
    "from_search",
    "gradient",
    "intensity",
    "log_likelihood",
    "precise_nodes",
    "residuals",
    "search_by_field",
    "to_search",
    "usable_threads",
]

Float64Array = NDArray[np.float64]


def _precise(
    parameters: HawkesParameters,
    time_ns: ArrayLike,
    side: ArrayLike,
    sessions: ArrayLike | None,
    threads: int | None,
) -> tuple[HawkesLikelihood, Float64Array]:
    events = prepare_events(time_ns, side, sessions=sessions)
    likelihood = HawkesLikelihood(events, profile=parameters.profile, threads=threads)
    likelihood.prepare(precise_nodes(events, parameters.beta, parameters.gamma))
    return likelihood, to_search(parameters)


def log_likelihood(
    parameters: HawkesParameters,
    time_ns: ArrayLike,
    side: ArrayLike,
    *,
    sessions: ArrayLike | None = None,
    threads: int | None = None,
) -> float:
    """Return the log-likelihood of events under given parameters, in nats.

    Parameters
    ----------
    parameters : HawkesParameters
        The process.
    time_ns : array of int64, shape (n,)
        Event times, ns.
    side : array of int, shape (n,)
        +1 buy, -1 sell.
    sessions : array of int64, shape (s, 2), optional
        Default: one session, first event to last.
    threads : int, optional
        Default: all the process may use.

    Examples
    --------
    >>> p = HawkesParameters(alpha_self=0.3, alpha_cross=0.1, beta=0.5, gamma=2.0, lambda_base=1.0)
    >>> round(log_likelihood(p, [10**9], [1], sessions=[(0, 2 * 10**9)]), 9)  # -2*2 - 0.4 * (1/0.5 - 1/1.5)
    -4.533333333
    """
    likelihood, u = _precise(parameters, time_ns, side, sessions, threads)
    return likelihood.evaluate(u).value


def gradient(
    parameters: HawkesParameters,
    time_ns: ArrayLike,
    side: ArrayLike,
    *,
    sessions: ArrayLike | None = None,
    threads: int | None = None,
) -> dict[str, float]:
    """Return the gradient of the log-likelihood by field name (arguments as :func:`log_likelihood`).

    Examples
    --------
    >>> p = HawkesParameters(alpha_self=0.3, alpha_cross=0.1, beta=0.5, gamma=2.0, lambda_base=1.0)
    >>> round(gradient(p, [10**9], [1], sessions=[(0, 2 * 10**9)])["lambda_base"], 6)  # 1 / 1 - 2 * 2
    -3.0
    """
    likelihood, u = _precise(parameters, time_ns, side, sessions, threads)
    along = likelihood.evaluate(u, 1).gradient
    names = ("lambda_base", "alpha_self", "alpha_cross", "beta", "gamma", "asymmetry")
    return dict(zip(names, (along @ search_by_field(parameters)).tolist(), strict=True))


def compensator(
    parameters: HawkesParameters,
    time_ns: ArrayLike,
    side: ArrayLike,
    *,
    sessions: ArrayLike | None = None,
    threads: int | None = None,
) -> tuple[Float64Array, Float64Array]:
    """Return the buy and the sell compensator at each event: expected counts so far (arguments as above).

    Examples
    --------
    >>> p = HawkesParameters(alpha_self=0.0, alpha_cross=0.0, beta=0.5, gamma=2.0, lambda_base=2.0)
    >>> compensator(p, [10**9, 4 * 10**9], [1, -1], sessions=[(0, 5 * 10**9)])[0].round(9).tolist()
    [2.0, 8.0]
    """
    likelihood, u = _precise(parameters, time_ns, side, sessions, threads)
    trace = likelihood.trace(u)
    return np.cumsum(trace.buy_growth), np.cumsum(trace.sell_growth)


def residuals(
    parameters: HawkesParameters,
    time_ns: ArrayLike,
    side: ArrayLike,
    *,
    sessions: ArrayLike | None = None,
    threads: int | None = None,
) -> tuple[Float64Array, Float64Array]:
    """Return the time-rescaled residuals of buys and sells: Exp(1) where the model holds (arguments as above).

    Examples
    --------
    >>> p = HawkesParameters(alpha_self=0.0, alpha_cross=0.0, beta=0.5, gamma=2.0, lambda_base=2.0)
    >>> residuals(p, [10**9, 4 * 10**9], [1, 1], sessions=[(0, 5 * 10**9)])[0].round(9).tolist()
    [6.0]
    """
    likelihood, u = _precise(parameters, time_ns, side, sessions, threads)
    trace = likelihood.trace(u)
    return trace.residuals(1), trace.residuals(-1)


def intensity(
    parameters: HawkesParameters,
    time_ns: ArrayLike,
    side: ArrayLike,
    at_ns: ArrayLike,
    *,
    sessions: ArrayLike | None = None,
) -> tuple[Float64Array, Float64Array]:
    """Return the buy and the sell intensity at given times, 1/s, events up to and at each time included.

    Parameters
    ----------
    at_ns : array of int64, shape (k,)
        Times in order, inside the sessions.

    Examples
    --------
    >>> p = HawkesParameters(alpha_self=0.3, alpha_cross=0.1, beta=0.5, gamma=2.0, lambda_base=1.0)
    >>> buy, sell = intensity(p, [10**9], [1], [5 * 10**8, 15 * 10**8], sessions=[(0, 2 * 10**9)])
    >>> buy.round(3).tolist(), sell.round(3).tolist()
    ([1.0, 1.3], [1.0, 1.1])
    """
    events = prepare_events(time_ns, side, sessions=sessions)
    at = np.ascontiguousarray(at_ns, dtype=np.int64)
    return _native.intensity(
        parameters.alpha_self,
        parameters.alpha_cross,
        parameters.beta,
        parameters.gamma,
        parameters.lambda_base,
        parameters.asymmetry,
        list(parameters.profile),
        events.time_ns,
        events.side,
        events.sessions.reshape(-1),
        at,
    )
