"""Parameters of the two-sided power-law Hawkes process."""

from __future__ import annotations

import msgspec

from calibrig.parameters._checks import check_integer, check_number, check_profile
from calibrig.parameters.version import ParameterVersion

__all__ = ["HawkesParameters"]


class HawkesParameters(msgspec.Struct, frozen=True, kw_only=True):
    r"""Two-sided power-law Hawkes process.

    The intensity of side m (0 buy, 1 sell) is ``lambda_base * exp(+-asymmetry) * b(t) +
    sum alpha_{self|cross} * (beta + t - t_j) ** -gamma`` over strictly earlier events j.

    Attributes
    ----------
    alpha_self, alpha_cross : float
        Excitation by the own and the other side, s^(gamma-1); at least 0.
    beta : float
        Time shift, s; above 0.
    gamma : float
        Decay exponent; above 1.
    lambda_base : float
        Mean baseline rate per side, 1/s; above 0.
    asymmetry : float
        a: the buy baseline is ``lambda_base * exp(a)``, the sell baseline ``lambda_base * exp(-a)``.
    profile : tuple of float
        Piecewise-constant time-of-day profile with mean 1, equal bins over the session; ``(1.0,)`` is none.
    calibration_r_squared : float or None
        Q-Q skill on held-out events (see docs); None where there is nothing to explain or no fit was made.
    calibration_samples : int or None
        Events used.
    version : ParameterVersion or None
        Set by the store.

    Examples
    --------
    >>> p = HawkesParameters(alpha_self=0.3, alpha_cross=0.1, beta=0.5, gamma=2.0, lambda_base=1.0)
    >>> round(p.branching_ratio, 6)
    0.8
    """

    alpha_self: float
    alpha_cross: float
    beta: float
    gamma: float
    lambda_base: float
    asymmetry: float = 0.0
    profile: tuple[float, ...] = (1.0,)
    calibration_r_squared: float | None = None
    calibration_samples: int | None = None
    version: ParameterVersion | None = None

    def __post_init__(self) -> None:
        owner = "HawkesParameters"
        check_number(owner, "alpha_self", self.alpha_self, at_least=0.0)
        check_number(owner, "alpha_cross", self.alpha_cross, at_least=0.0)
        check_number(owner, "beta", self.beta, above=0.0)
        check_number(owner, "gamma", self.gamma, above=1.0)
        check_number(owner, "lambda_base", self.lambda_base, above=0.0)
        check_number(owner, "asymmetry", self.asymmetry, at_least=-10.0, at_most=10.0)
        check_profile(owner, self.profile)
        if self.calibration_r_squared is not None:
            check_number(owner, "calibration_r_squared", self.calibration_r_squared, at_most=1.0)
        if self.calibration_samples is not None:
            check_integer(owner, "calibration_samples", self.calibration_samples, at_least=0)

    @property
    def n_self(self) -> float:
        """Mean direct children of an event on its own side: ``alpha_self * beta^(1-gamma) / (gamma-1)``."""
        return float(self.alpha_self * self.beta ** (1.0 - self.gamma) / (self.gamma - 1.0))

    @property
    def n_cross(self) -> float:
        """Mean direct children of an event on the other side."""
        return float(self.alpha_cross * self.beta ** (1.0 - self.gamma) / (self.gamma - 1.0))

    @property
    def branching_ratio(self) -> float:
        """``n_self + n_cross``; the process is stationary below 1."""
        return self.n_self + self.n_cross
