"""Observations: quality, latency and staleness over time. Unlike versions they are many, and expire."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

import msgspec

from calibrig.errors import InvalidInputError, UnavailableError
from calibrig.store.record import check_symbol

__all__ = [
    "KEEP_DAYS",
    "MAX_BATCH",
    "MAX_READ",
    "OBSERVATION_KINDS",
    "Observation",
    "ObservationBackend",
    "ObservationQuery",
    "check_observations",
    "latency_observations",
    "observing_backend",
]

OBSERVATION_KINDS = ("quality", "latency", "staleness")
KEEP_DAYS = 90.0  # observations older than this expire; versions never do
MAX_BATCH = 10_000  # written as one: a larger one would hold a server up for all others
MAX_READ = 100_000
DAY_NS = 86_400 * 10**9
_FUTURE_NS = 60 * 10**9  # a stamp further in the future comes from a wrong clock
_METRIC = re.compile(r"[a-z][a-z0-9_.]{0,63}")


class Observation(msgspec.Struct, frozen=True, order=True):
    """One figure at one time.

    Attributes
    ----------
    kind : str
        ``quality``, ``latency`` or ``staleness``.
    symbol : str
        Whose; ``*`` for what concerns the store as a whole.
    metric : str
        Lower-case letters, digits, ``_`` and ``.``; the unit ends the name, such as ``device.p99_ns``.
    time_ns : int
        When, ns since 1970 UTC.
    value : float
        Finite.
    source : str
        Who measured, such as ``calibrig store observe``.

    Examples
    --------
    >>> Observation("latency", "BTCUSDT", "device.p99_ns", 1_700_000_000_000_000_000, 412.0, "bridge").value
    412.0
    """

    kind: str
    symbol: str
    metric: str
    time_ns: int
    value: float
    source: str

    def __post_init__(self) -> None:
        if self.kind not in OBSERVATION_KINDS:
            raise InvalidInputError(f"kind is {self.kind!r}; give one of {', '.join(OBSERVATION_KINDS)}")
        check_symbol(self.symbol)
        if not isinstance(self.metric, str) or not _METRIC.fullmatch(self.metric):
            raise InvalidInputError(
                f"metric is {str(self.metric)[:80]!r}; give 1 to 64 lower-case letters, digits, '_' and '.'"
            )
        if isinstance(self.time_ns, bool) or not isinstance(self.time_ns, int) or self.time_ns < 0:
            raise InvalidInputError(f"time_ns is {self.time_ns!r}; give nanoseconds since 1970 UTC")
        is_number = isinstance(self.value, int | float) and not isinstance(self.value, bool)
        if not is_number or not math.isfinite(self.value):
            raise InvalidInputError(
                f"{self.kind}/{self.symbol} {self.metric} is {self.value!r}; give a finite number, and nothing where "
                "none is known"
            )
        is_text = isinstance(self.source, str) and self.source.isprintable()
        if not is_text or not self.source.strip() or len(self.source) > 200:
            raise InvalidInputError(
                f"source is {str(self.source)[:80]!r}; say who measured, in 1 to 200 printable characters"
            )


class ObservationQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which observations to read, None means every; the newest ``limit`` of them, times inclusive."""

    kind: str | None = None
    symbol: str | None = None
    metric: str | None = None
    since: int | None = None
    until: int | None = None
    limit: int = MAX_READ

    def wants(self, one: Observation) -> bool:
        """Say whether an observation is asked for (but for the limit)."""
        return (
            self.kind in {None, one.kind}
            and self.symbol in {None, one.symbol}
            and self.metric in {None, one.metric}
            and (self.since is None or one.time_ns >= self.since)
            and (self.until is None or one.time_ns <= self.until)
        )


@runtime_checkable
class ObservationBackend(Protocol):
    """A backend that keeps observations; what is in all of ours, and optional in a stranger's."""

    def append_observations(self, observations: Sequence[Observation]) -> None:
        """Append all or none; one that is there already is not kept twice."""
        ...

    def read_observations(self, query: ObservationQuery) -> Iterator[Observation]:
        """Yield the newest ``limit`` of those asked for, by time, symbol, metric and source."""
        ...

    def expire_observations(self, before_ns: int) -> None:
        """Let go of what is older."""
        ...


def observing_backend(backend: object) -> ObservationBackend:
    """Return the backend as one that keeps observations; refuse one that does not."""
    if not isinstance(backend, ObservationBackend):
        raise UnavailableError(
            f"a {type(backend).__name__} keeps no observations; use one of calibrig's backends"
        )
    return backend


def check_observations(
    observations: Iterable[Observation], *, now_ns: int, keep_days: float
) -> tuple[Observation, ...]:
    """Return the batch; refuse one that is too large, from the future, or would expire at once."""
    batch: list[Observation] = []
    oldest = now_ns - round(keep_days * DAY_NS)
    for one in observations:
        if not isinstance(one, Observation):
            raise InvalidInputError(f"an observation is {type(one).__name__}; give Observation records")
        if len(batch) == MAX_BATCH:
            raise InvalidInputError(
                f"there are more than {MAX_BATCH:,} observations; give them in smaller batches"
            )
        if one.time_ns > now_ns + _FUTURE_NS:
            raise InvalidInputError(
                f"{one.kind}/{one.symbol} {one.metric} is {(one.time_ns - now_ns) / 1e9:.0f} s in the future; "
                "correct the clock that stamped it"
            )
        if one.time_ns < oldest:
            raise InvalidInputError(
                f"{one.kind}/{one.symbol} {one.metric} is older than the {keep_days:g} days that observations are "
                "kept; keep them longer (observation_days), or leave it out"
            )
        batch.append(one)
    return tuple(batch)


def latency_observations(
    statistics: Any, symbol: str, *, path: str, source: str, time_ns: int
) -> list[Observation]:
    """Return the figures of a bridge's ``LatencyStats`` (or of a dict with its fields); none without any call.

    Examples
    --------
    >>> stats = {"count": 2, "mean": 410.0, "p50": 400.0, "p95": 420.0, "p99": 420.0, "p999": 420.0, "max": 420.0,
    ...     "failure_count": 0, "fallback_count": 0}
    >>> [one.metric for one in latency_observations(stats, "X", path="device", source="bridge", time_ns=1)][:3]
    ['device.count', 'device.mean_ns', 'device.p50_ns']
    """
    fields = statistics if isinstance(statistics, dict) else msgspec.structs.asdict(statistics)
    if not fields.get("count"):
        return []
    counts = {"count", "failure_count", "fallback_count"}
    return [
        Observation(
            "latency",
            symbol,
            f"{path}.{name}{'' if name in counts else '_ns'}",
            time_ns,
            float(value),
            source,
        )
        for name, value in fields.items()
    ]
