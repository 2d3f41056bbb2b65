"""The part of a store that keeps observations over time, and takes them."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from typing import Any

from calibrig.errors import InvalidInputError
from calibrig.store.observations import (
    DAY_NS,
    MAX_READ,
    OBSERVATION_KINDS,
    Observation,
    ObservationQuery,
    check_observations,
    latency_observations,
    observing_backend,
)
from calibrig.store.reader import StoreReader, Time, to_ns

__all__ = ["StoreObserving"]

_EXPIRE_EVERY_S = 3600.0


class StoreObserving(StoreReader):
    """The part of :class:`ModelStore` that keeps quality, latency and staleness over time."""

    _expired_at = -math.inf

    def record_observations(self, observations: Iterable[Observation]) -> int:
        """Append a batch, all of it or none; return how many.

        An observation that is there already is not kept twice, so a
        batch whose writing broke off may be given again. Those older than ``observation_days`` expire; versions never.

        Raises
        ------
        InvalidInputError
            For a batch of more than 10,000, a time more than 60 s in the future, one that would expire at once.
            (NaN, infinities and unknown kinds are refused when an :class:`Observation` is made.)
        """
        backend, _ = self._open()
        keeper = observing_backend(backend)
        now_ns = self._clock_ns()
        batch = check_observations(observations, now_ns=now_ns, keep_days=self._observation_days)
        if batch:
            keeper.append_observations(batch)
            if time.monotonic() - self._expired_at > _EXPIRE_EVERY_S:
                self.expire_observations()
        return len(batch)

    def expire_observations(self) -> None:
        """Let go of observations older than ``observation_days`` now; recording does it once an hour."""
        backend, _ = self._open()
        oldest = self._clock_ns() - round(self._observation_days * DAY_NS)
        observing_backend(backend).expire_observations(max(0, oldest))
        self._expired_at = time.monotonic()

    def observations(
        self,
        kind: str | None = None,
        symbol: str | None = None,
        metric: str | None = None,
        *,
        since: Time | None = None,
        until: Time | None = None,
        limit: int = MAX_READ,
    ) -> list[Observation]:
        """Return observations by time, the newest ``limit`` of those asked for; times are inclusive.

        Examples
        --------
        >>> import tempfile
        >>> from calibrig import ModelStore
        >>> from calibrig.store import Observation
        >>> folder = tempfile.TemporaryDirectory()
        >>> with ModelStore(f"sqlite:///{folder.name}/a.db") as store:
        ...     now = time.time_ns()
        ...     count = store.record_observations([Observation("latency", "X", "device.p99_ns", now, 412.0, "me")])
        ...     [one.value for one in store.observations("latency", "X")]
        [412.0]
        >>> folder.cleanup()
        """
        backend, _ = self._open()
        if kind is not None and kind not in OBSERVATION_KINDS:
            raise InvalidInputError(f"kind is {kind!r}; give one of {', '.join(OBSERVATION_KINDS)}")
        if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= MAX_READ:
            raise InvalidInputError(f"limit is {limit!r}; give an integer in 1 .. {MAX_READ:,}")
        query = ObservationQuery(
            kind=kind,
            symbol=symbol,
            metric=metric,
            since=to_ns("since", since),
            until=to_ns("until", until),
            limit=limit,
        )
        return list(observing_backend(backend).read_observations(query))

    def observe(self, *, source: str = "calibrig") -> list[Observation]:
        """Record how good and how old every symbol's calibration is now, and how long the backend has been silent.

        Figures that are not known are left out; a calibration whose age cannot be known is counted by
        ``calibration_unknown`` instead.
        """
        now_ns = self._clock_ns()
        found: list[Observation] = []
        for quality in self.get_calibration_quality():
            figures = {
                "hawkes_r_squared": quality.hawkes_r_squared,
                "as_sharpe": quality.as_sharpe,
                "signal_r_squared": quality.signal_r_squared,
                "gates_not_met": float(
                    sum(
                        verdict is not None and not verdict.deployable
                        for verdict in quality.verdicts.values()
                    )
                ),
            }
            found += [
                Observation("quality", quality.symbol, name, now_ns, float(value), source)
                for name, value in figures.items()
                if value is not None
            ]
            known = math.isfinite(quality.age_s)
            name, age = ("calibration_age_s", quality.age_s) if known else ("calibration_unknown", 1.0)
            found.append(Observation("staleness", quality.symbol, name, now_ns, age, source))
        status = self.status()
        found.append(Observation("staleness", "*", "contact_age_s", now_ns, status.contact_age_s, source))
        found.append(Observation("staleness", "*", "stale", now_ns, float(status.stale), source))
        self.record_observations(found)
        return found

    def record_latency(
        self, symbol: str, statistics: Any, *, path: str = "device", source: str = "bridge"
    ) -> list[Observation]:
        """Record the figures of ``bridge.get_latency_stats()``; nothing where there was no call yet.

        Examples
        --------
        >>> import tempfile
        >>> from calibrig import HardwareInTheLoopBridge, MicrostructureFeatures, ModelStore
        >>> folder = tempfile.TemporaryDirectory()
        >>> with HardwareInTheLoopBridge() as bridge, ModelStore(f"sqlite:///{folder.name}/a.db") as store:
        ...     bridge.initialize()
        ...     signal = bridge.predict(MicrostructureFeatures())
        ...     recorded = store.record_latency("BTCUSDT", bridge.get_latency_stats())
        ...     [one.metric for one in store.observations("latency")][:2]
        ['device.count', 'device.failure_count']
        >>> folder.cleanup()
        """
        found = latency_observations(statistics, symbol, path=path, source=source, time_ns=self._clock_ns())
        self.record_observations(found)
        return found
