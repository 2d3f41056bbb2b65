"""Parameters of the Hawkes process with two time scales: a fast exponential part and a slow power law."""

from __future__ import annotations

import msgspec

from calibrig.parameters._checks import check_integer, check_number, check_profile

__all__ = ["TwoScaleParameters"]


class TwoScaleParameters(msgspec.Struct, frozen=True, kw_only=True):
    r"""Two-sided Hawkes process whose kernel is a fast exponential plus a slow power law, with a causal level.

    The intensity of side m is ``L_m(t) * (lambda_base * exp(+-asymmetry) * b(t) + sum over t_j < t of
    fast_{self|cross} * exp(-tau / fast_s) / fast_s + slow_{self|cross} * k(tau))``, ``tau = t - t_j``, where
    ``k(tau) = (gamma - 1) * beta^(gamma-1) * (beta + tau)^-gamma / (1 - (1 + horizon_s / beta)^(1 - gamma))`` has
    mass 1 on [0, horizon_s]. The level ``L_m = (level_events + N) / (level_events + Lambda)`` compares the events
    of the side with what was expected of it, both discounted with mean age ``level_s``.

    Attributes
    ----------
    fast_self, fast_cross : float
        Mean direct answers of the fast part on the own and the other side; at least 0.
    fast_s : float
        Mean delay of the fast part, s; above 0.
    slow_self, slow_cross : float
        Mean direct answers of the slow part within ``horizon_s``; at least 0.
    beta : float
        Time shift of the power law, s; above 0.
    gamma : float
        Its decay exponent; above 1.
    horizon_s : float
        Longest session, s: memory does not outlive it, and the slow ratios are counted up to it.
    lambda_base : float
        Mean baseline rate per side, 1/s; above 0.
    asymmetry : float
        The buy baseline is ``lambda_base * exp(a)``, the sell baseline ``lambda_base * exp(-a)``.
    profile : tuple of float
        Piecewise-constant time-of-day profile with mean 1, equal bins over the session.
    level_s : float
        Mean age of what the level remembers, s; above 0.
    level_events : float or None
        Events whose weight the level 1 has; above 0. None: no level, L = 1.
    calibration_r_squared : float or None
        Q-Q skill on held-out events.
    calibration_samples : int or None
        Events used.

    Examples
    --------
    >>> p = TwoScaleParameters(fast_self=0.3, fast_cross=0.05, fast_s=0.004, slow_self=0.4, slow_cross=0.1, beta=0.05,
    ...     gamma=1.3, horizon_s=23_400.0, lambda_base=0.5)
    >>> round(p.branching_ratio, 6), round(p.n_cross, 6)
    (0.85, 0.15)
    """

    fast_self: float
    fast_cross: float
    fast_s: float
    slow_self: float
    slow_cross: float
    beta: float
    gamma: float
    horizon_s: float
    lambda_base: float
    asymmetry: float = 0.0
    profile: tuple[float, ...] = (1.0,)
    level_s: float = 300.0
    level_events: float | None = None
    calibration_r_squared: float | None = None
    calibration_samples: int | None = None

    def __post_init__(self) -> None:
        owner = "TwoScaleParameters"
        for name in ("fast_self", "fast_cross", "slow_self", "slow_cross"):
            check_number(owner, name, getattr(self, name), at_least=0.0)
        for name in ("fast_s", "beta", "horizon_s", "lambda_base", "level_s"):
            check_number(owner, name, getattr(self, name), above=0.0)
        if self.level_events is not None:
            check_number(owner, "level_events", self.level_events, above=0.0)
        check_number(owner, "gamma", self.gamma, above=1.0)
        check_number(owner, "asymmetry", self.asymmetry, at_least=-10.0, at_most=10.0)
        check_profile(owner, self.profile)
        if self.calibration_r_squared is not None:
            check_number(owner, "calibration_r_squared", self.calibration_r_squared, at_most=1.0)
        if self.calibration_samples is not None:
            check_integer(owner, "calibration_samples", self.calibration_samples, at_least=0)

    @property
    def n_self(self) -> float:
        """Mean direct answers on the own side within the horizon."""
        return self.fast_self + self.slow_self

    @property
    def n_cross(self) -> float:
        """Mean direct answers on the other side within the horizon."""
        return self.fast_cross + self.slow_cross

    @property
    def n_fast(self) -> float:
        """Mean direct answers of the fast part, both sides."""
        return self.fast_self + self.fast_cross

    @property
    def n_slow(self) -> float:
        """Mean direct answers of the slow part within the horizon, both sides."""
        return self.slow_self + self.slow_cross

    @property
    def branching_ratio(self) -> float:
        """Mean direct answers within the horizon; sessions start with no memory, so below 1 the flow dies out."""
        return self.n_self + self.n_cross
