"""Records, clocks and contents that tests of a store are made of."""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

from calibrig.parameters import (
    FEATURE_NAMES,
    AvellanedaStoikovParameters,
    HawkesParameters,
    RiskParameters,
    SignalModel,
)
from calibrig.store.record import Content, Parameters, encode_parameters

__all__ = [
    "DAY_NS",
    "HAWKES",
    "QUOTING",
    "RECORDS",
    "RISK",
    "SIGNAL",
    "SteppedClock",
    "make_content",
    "wait_until",
]

HAWKES = HawkesParameters(
    alpha_self=0.31,
    alpha_cross=0.09,
    beta=0.47,
    gamma=2.13,
    lambda_base=2.5,
    profile=(1.5, 0.5),
    calibration_r_squared=0.87,
    calibration_samples=1_200_000,
)
QUOTING = AvellanedaStoikovParameters(
    gamma=0.1,
    sigma=0.5,
    kappa=1.5,
    time_horizon_seconds=600.0,
    arrival_rate=1.0,
    reference_price=100.0,
    tick_size=0.01,
    lot_size=1.0,
    backtest_sharpe=2.5,
    backtest_pnl=1000.0,
)
RISK = RiskParameters(
    max_position=100,
    normal_volatility_threshold=2.0,
    elevated_volatility_threshold=3.0,
    high_stress_volatility_threshold=5.0,
)
SIGNAL = SignalModel(
    feature_offset=(0.0,) * len(FEATURE_NAMES),
    feature_scale=(1.0,) * len(FEATURE_NAMES),
    weights=tuple(range(len(FEATURE_NAMES))),
    skill_r_squared=0.02,
)
RECORDS: dict[str, Parameters] = {"hawkes": HAWKES, "quoting": QUOTING, "risk": RISK, "signal": SIGNAL}
DAY_NS = 86_400 * 10**9


class SteppedClock:
    """A wall clock that tests set; every reading is one microsecond later.

    Examples
    --------
    >>> clock = SteppedClock(1_000)
    >>> clock(), clock()
    (2000, 3000)
    """

    def __init__(self, start_ns: int = 1_700_000_000 * 10**9) -> None:
        self.now_ns = start_ns

    def __call__(self) -> int:
        """Return the time, ns."""
        self.now_ns += 1_000
        return self.now_ns

    def step(self, days: float) -> None:
        """Move the clock by ``days``, also backwards."""
        self.now_ns += round(days * DAY_NS)


def wait_until(condition: Callable[[], bool], timeout_s: float = 10.0) -> bool:
    """Return whether ``condition`` came true within ``timeout_s``."""
    until = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.001)
    return True


def make_content(number: int, previous_hash: str, *, symbol: str = "RAW", updated_at: int = 1) -> Content:
    """Return version ``number`` of a key, for tests that bypass the store."""
    return Content(
        kind="hawkes",
        symbol=symbol,
        version_id=number,
        updated_at=updated_at,
        updated_by="raw",
        comment=f"raw {number}",
        origin="manual",
        parameters=msgspec.Raw(encode_parameters(msgspec.structs.replace(HAWKES, beta=0.1 + number / 1000))),
        calibrated_at=updated_at,
        previous_hash=previous_hash,
    )
