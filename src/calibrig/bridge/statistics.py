"""Latency statistics of a bridge: one set per path, in nanoseconds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from calibrig.bridge.health import FAULTS
from calibrig.errors import InvalidInputError

if TYPE_CHECKING:
    from calibrig._native.bridge import LatencyHistogram  # noqa: TID251

__all__ = ["PATHS", "LatencyStats", "check_path", "make_stats", "name_counts"]

PATHS = ("device", "roundtrip")


class LatencyStats(msgspec.Struct, frozen=True, kw_only=True):
    """Latencies since the start or the last reset; all times in nanoseconds.

    Percentiles come from log buckets 0.2 % wide (exact below 1,024 ns); ``max`` is exact.

    Attributes
    ----------
    count : int
        Calls on this path.
    mean, p50, p95, p99, p999, max : float
        0.0 while there are no calls.
    failure_count : int
        Calls that the device did not answer in time or not rightly.
    fallback_count : int
        Calls that software answered instead.

    Examples
    --------
    >>> LatencyStats(count=1, mean=400.0, p50=400.0, p95=400.0, p99=400.0, p999=400.0, max=400.0).failure_count
    0
    """

    count: int
    mean: float
    p50: float
    p95: float
    p99: float
    p999: float
    max: float
    failure_count: int = 0
    fallback_count: int = 0


def check_path(path: str) -> None:
    """Refuse what is not a path."""
    if path not in PATHS:
        raise InvalidInputError(f"path is {path!r}; give 'device' or 'roundtrip'")


def make_stats(histogram: LatencyHistogram, *, failures: int, fallbacks: int) -> LatencyStats:
    """Summarise one path's histogram."""
    return LatencyStats(
        count=histogram.count,
        mean=histogram.mean,
        p50=histogram.percentile(0.5),
        p95=histogram.percentile(0.95),
        p99=histogram.percentile(0.99),
        p999=histogram.percentile(0.999),
        max=float(histogram.max),
        failure_count=failures,
        fallback_count=fallbacks,
    )


def name_counts(raw: dict[str, Any]) -> dict[str, int]:
    """Give the native core's counters their names, the faults as ``fault_timeout`` .."""
    counts = dict(raw)
    faults = counts.pop("faults")
    named = {f"fault_{name}": int(count) for name, count in zip(FAULTS, faults, strict=False)}
    return {name: int(count) for name, count in counts.items()} | named
