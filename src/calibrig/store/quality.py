"""How good and how old the calibration of a symbol is."""

from __future__ import annotations

import math
from typing import NamedTuple

import msgspec

from calibrig.parameters import KINDS, Verdict
from calibrig.store.view import Head, View

__all__ = ["CalibrationQuality", "Now", "calibration_age_s", "calibration_quality"]

CLOCK_TOLERANCE_NS = 60 * 10**9  # a stamp further in the future than this comes from a wrong clock


class CalibrationQuality(msgspec.Struct, frozen=True, kw_only=True):
    """Quality figures of one symbol, from the heads.

    Attributes
    ----------
    symbol : str
        Whose.
    hawkes_r_squared, as_sharpe, signal_r_squared : float or None
        Held-out figures; None where no fit was made.
    verdicts : dict of str to (Verdict or None)
        Judgement by kind; None for a version without evidence.
    versions, origins : dict
        Version number and origin by kind.
    age_s : float
        Seconds since the oldest calibration among the kinds present; ``inf`` for defaults and for stamps from a
        wrong clock.
    overrides : dict of str to str
        By kind, why a version its gates did not pass is used all the same.
    """

    symbol: str
    hawkes_r_squared: float | None = None
    as_sharpe: float | None = None
    signal_r_squared: float | None = None
    verdicts: dict[str, Verdict | None]
    versions: dict[str, int]
    origins: dict[str, str]
    age_s: float
    overrides: dict[str, str]


class Now(NamedTuple):
    """What the clocks say: the wall clock, the latest time known to have passed, the monotonic clock; ns."""

    clock_ns: int
    latest_ns: int
    monotonic_ns: int


def calibration_age_s(head: Head, now: Now) -> float:
    """Return the age of a head's calibration in seconds; what cannot be known is ``inf``, never fresh.

    A clock may step: the age is at least the time for which this process has known the version, and a stamp from the
    future has no age.
    """
    calibrated_at = head.content.calibrated_at
    if calibrated_at is None or calibrated_at > now.clock_ns + CLOCK_TOLERANCE_NS:
        return math.inf
    known_ns = now.monotonic_ns - head.seen_ns
    return max(0, max(now.clock_ns, now.latest_ns) - calibrated_at, known_ns) / 1e9


def calibration_quality(view: View, symbol: str, now: Now) -> CalibrationQuality:
    """Collect the figures of ``symbol`` from the heads of ``view``."""
    heads = {kind: view.heads[kind, symbol] for kind in KINDS if (kind, symbol) in view.heads}
    contents = {kind: head.content for kind, head in heads.items()}
    hawkes, quoting, signal = view.hawkes.get(symbol), view.quoting.get(symbol), view.signal.get(symbol)
    return CalibrationQuality(
        symbol=symbol,
        hawkes_r_squared=hawkes.calibration_r_squared if hawkes else None,
        as_sharpe=quoting.backtest_sharpe if quoting else None,
        signal_r_squared=signal.skill_r_squared if signal else None,
        verdicts={kind: one.evidence.verdict if one.evidence else None for kind, one in contents.items()},
        versions={kind: one.version_id for kind, one in contents.items()},
        origins={kind: one.origin for kind, one in contents.items()},
        age_s=max((calibration_age_s(head, now) for head in heads.values()), default=math.inf),
        overrides={kind: one.override for kind, one in contents.items() if one.override},
    )
