"""Latencies as a report shows them: from the bridge's fine log buckets to a histogram of a few dozen bars."""

from __future__ import annotations

import numpy as np

from calibrig.bridge import HardwareInTheLoopBridge
from calibrig.reports import LatencyCurve

__all__ = ["measure_latencies", "read_latency"]

_BARS_PER_OCTAVE = 16


def measure_latencies(bridge: HardwareInTheLoopBridge, features: np.ndarray) -> tuple[LatencyCurve, ...]:
    """Time live predictions for the rows of ``features``, shape (n, 16), and return both paths of the bridge.

    In replay the stub's latency is charged to the venue's clock; here it is held in real time, as in live trading.
    """
    bridge.reset_stats()
    for row in features:
        bridge.predict(row)
    return read_latency(bridge, "device", "device path", sla_ns=400.0), read_latency(
        bridge, "roundtrip", "round trip"
    )


def read_latency(
    bridge: HardwareInTheLoopBridge, path: str, label: str, *, sla_ns: float | None = None
) -> LatencyCurve:
    """Return one path's distribution since the last reset."""
    stats = bridge.get_latency_stats(path)
    buckets = np.asarray(bridge.get_histogram(path).to_buckets(), dtype=np.float64).reshape(-1, 2)
    edges, counts = _coarsen(np.maximum(buckets[:, 0], 1.0), buckets[:, 1])
    return LatencyCurve(
        path=label,
        edges_ns=edges,
        counts=counts,
        percentiles=(
            ("p50", stats.p50),
            ("p95", stats.p95),
            ("p99", stats.p99),
            ("p99.9", stats.p999),
            ("max", stats.max),
        ),
        sla_ns=sla_ns,
    )


def _coarsen(values_ns: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return bars of a sixteenth of an octave that hold all values."""
    if not len(values_ns):
        return np.asarray([1.0, 2.0]), np.asarray([0.0])
    low = np.floor(np.log2(values_ns[0]) * _BARS_PER_OCTAVE)
    high = np.floor(np.log2(values_ns[-1]) * _BARS_PER_OCTAVE) + 1
    edges = 2.0 ** (np.arange(low, high + 1) / _BARS_PER_OCTAVE)
    bars, _ = np.histogram(values_ns, bins=edges, weights=counts)
    return edges, bars
