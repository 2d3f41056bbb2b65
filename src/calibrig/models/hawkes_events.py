"""Events as the Hawkes model uses them: checked, ties spread inside the clock's step, sessions and profile time."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from calibrig.errors import InvalidInputError, InvalidTicksError

__all__ = ["HawkesEvents", "prepare_events"]

Int64Array = NDArray[np.int64]
Float64Array = NDArray[np.float64]

_TIES_AT_A_TIME = 100_000
_YEAR_2200_NS = 7_258_118_400_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class HawkesEvents:
    """Events of both sides in time order, inside sessions.

    Attributes
    ----------
    time_ns : ndarray of int64, shape (n,)
        Stamps.
    offset_ns : ndarray of float64 or None
        Where inside the clock's step each event is put; None where no stamps are equal.
    side : ndarray of int8, shape (n,)
        +1 or -1.
    sessions : ndarray of int64, shape (s, 2)
        Observed spans, ns.
    profile_sessions : ndarray of int64, shape (s, 2)
        What the time-of-day profile spans; differs from ``sessions`` where a split cuts one.
    resolution_ns : int
        Step of the clock.
    tied_share : float
        Share of events that share their stamp with another.
    """

    time_ns: Int64Array
    offset_ns: Float64Array | None
    side: NDArray[np.int8]
    sessions: Int64Array
    profile_sessions: Int64Array
    resolution_ns: int
    tied_share: float

    def __len__(self) -> int:
        return len(self.time_ns)

    @property
    def duration_s(self) -> float:
        """Observed time, s."""
        return float((self.sessions[:, 1] - self.sessions[:, 0]).sum()) * 1e-9

    def count_sides(self) -> tuple[int, int]:
        """Return the number of buys and of sells."""
        buys = int(np.count_nonzero(self.side > 0))
        return buys, len(self.side) - buys

    def between(
        self, first: int, last: int, *, start_ns: int | None = None, end_ns: int | None = None
    ) -> HawkesEvents:
        """Events first .. last - 1, with the sessions cut at ``start_ns`` and ``end_ns`` (default: keep all)."""
        low = int(self.sessions[0, 0]) if start_ns is None else start_ns
        high = int(self.sessions[-1, 1]) if end_ns is None else end_ns
        clipped = np.clip(self.sessions, low, high)
        keep = clipped[:, 1] > clipped[:, 0]
        return HawkesEvents(
            time_ns=self.time_ns[first:last],
            offset_ns=None if self.offset_ns is None else self.offset_ns[first:last],
            side=self.side[first:last],
            sessions=np.ascontiguousarray(clipped[keep]),
            profile_sessions=np.ascontiguousarray(self.profile_sessions[keep]),
            resolution_ns=self.resolution_ns,
            tied_share=self.tied_share,
        )

    def window(self, start_ns: int, end_ns: int) -> HawkesEvents:
        """Events with ``start_ns <= time < end_ns``."""
        first, last = np.searchsorted(self.time_ns, (start_ns, end_ns))
        return self.between(int(first), int(last), start_ns=start_ns, end_ns=end_ns)

    def profile_growth_s(self, profile: Float64Array, first: int, last: int) -> Float64Array:
        """Integral of the profile since the event before, s, for events first .. last - 1; only observed time counts."""
        since = max(first - 1, 0)
        if len(profile) == 1:
            return float(profile[0]) * self._observed_gaps_s(since, last)[first - since :]
        reached = self._profile_time_s(profile, since, last)
        return np.diff(reached, prepend=0.0) if first == 0 else np.diff(reached)

    def _observed_gaps_s(self, first: int, last: int) -> Float64Array:
        """Observed time between successive events, s, shape (last - first,); the first since its session's start."""
        gaps = np.zeros(last - first)
        gaps[1:] = np.diff(self.time_ns[first:last])
        if self.offset_ns is not None:
            gaps[1:] += np.diff(self.offset_ns[first:last])
        opens = np.searchsorted(self.time_ns, self.sessions[:, 0])
        for s in range(int(np.searchsorted(opens, first)), int(np.searchsorted(opens, last))):
            row = int(opens[s])
            offset = 0.0 if self.offset_ns is None else float(self.offset_ns[row])
            since_open = float(self.time_ns[row] - self.sessions[s, 0]) + offset
            left_open = 0.0
            if s > 0:
                late = 0.0 if self.offset_ns is None else float(self.offset_ns[row - 1])
                left_open = max(float(self.sessions[s - 1, 1] - self.time_ns[row - 1]) - late, 0.0)
            gaps[row - first] = since_open + left_open
        return gaps * 1e-9

    def _profile_time_s(self, profile: Float64Array, first: int, last: int) -> Float64Array:
        """Integral of the profile over observed time up to each event, s, shape (last - first,)."""
        out = np.empty(last - first)
        done = np.concatenate([[0.0], np.cumsum(self.profile_totals_s(profile))])
        edges = np.searchsorted(self.time_ns, self.sessions[:, 1])
        begin = first
        for s in range(int(np.searchsorted(edges, first, side="right")), len(edges)):
            stop = min(int(edges[s]), last)
            if begin >= stop:
                break
            p_start, p_end = (int(x) for x in self.profile_sessions[s])
            span = float(p_end - p_start)
            phase = (self.time_ns[begin:stop] - p_start).astype(np.float64)
            if self.offset_ns is not None:
                phase += self.offset_ns[begin:stop]
            opened = _integral(profile, np.array([(int(self.sessions[s, 0]) - p_start) / span]))[0]
            out[begin - first : stop - first] = (
                done[s] + (_integral(profile, phase / span) - opened) * span * 1e-9
            )
            begin = stop
        return out

    def profile_totals_s(self, profile: Float64Array) -> Float64Array:
        """Integral of the profile over the observed time of each session, s, shape (sessions,)."""
        span = (self.profile_sessions[:, 1] - self.profile_sessions[:, 0]).astype(np.float64)
        low = (self.sessions[:, 0] - self.profile_sessions[:, 0]) / span
        high = (self.sessions[:, 1] - self.profile_sessions[:, 0]) / span
        out: Float64Array = (_integral(profile, high) - _integral(profile, low)) * span * 1e-9
        return out

    def profile_bins(self, bins: int, first: int = 0) -> NDArray[np.intp]:
        """Bin of the time-of-day profile that events `first` and later lie in, shape (n - first,)."""
        out = np.zeros(len(self) - first, dtype=np.intp)
        if bins == 1:
            return out
        begin = first
        for (start, end), edge in zip(
            self.profile_sessions, np.searchsorted(self.time_ns, self.sessions[:, 1]), strict=True
        ):
            if edge <= begin:
                continue
            phase = (self.time_ns[begin:edge] - start) * (bins / float(end - start))
            out[begin - first : edge - first] = np.clip(phase.astype(np.intp), 0, bins - 1)
            begin = int(edge)
        return out


def _integral(profile: Float64Array, phase: Float64Array) -> Float64Array:
    """Integral of the profile from 0 to phase, phase in [0, 1]."""
    if len(profile) == 1:
        flat: Float64Array = float(profile[0]) * np.minimum(phase, 1.0)
        return flat
    cumulated = np.concatenate([[0.0], np.cumsum(profile)]) / len(profile)
    out: Float64Array = np.interp(phase, np.linspace(0.0, 1.0, len(profile) + 1), cumulated)
    return out


def prepare_events(
    time_ns: ArrayLike,
    side: ArrayLike,
    *,
    sessions: ArrayLike | None = None,
    resolution_ns: int | None = None,
    seed: int = 0,
) -> HawkesEvents:
    """Check events and spread equal stamps uniformly inside the clock's step, list order kept.

    Parameters
    ----------
    time_ns : array of int64, shape (n,)
        Nanoseconds, not decreasing.
    side : array of int, shape (n,)
        +1 buy, -1 sell.
    sessions : array of int64, shape (s, 2), optional
        Start and end of each session, ns; default one session from the first event to just past the last.
    resolution_ns : int, optional
        Step of the clock; default: the largest step all stamps fit (their common divisor).
    seed : int
        Of the spreading.

    Raises
    ------
    InvalidTicksError
        If the events cannot be used; the message names value, row and remedy.

    Examples
    --------
    >>> events = prepare_events([0, 1_000_000, 1_000_000, 5_000_000], [1, -1, 1, 1], resolution_ns=1_000_000)
    >>> events.tied_share, bool(events.offset_ns[1] < events.offset_ns[2])
    (0.5, True)
    """
    times, sides = _checked_times(time_ns), _checked_sides(side)
    if len(times) != len(sides):
        raise InvalidTicksError(f"side has {len(sides)} rows, time_ns has {len(times)}; give equal lengths")
    spans = _checked_sessions(times, sessions)
    _check_inside(times, spans)
    step = _clock_step(times) if resolution_ns is None else resolution_ns
    if isinstance(step, bool) or not isinstance(step, (int, np.integer)) or step < 1:
        raise InvalidTicksError(
            f"resolution_ns is {step!r}; give the clock's step, a whole number of ns, 1 or more"
        )
    step = int(step)
    check_seed(seed)
    offset, tied = _spread_ties(times, step, seed)
    return HawkesEvents(
        time_ns=times,
        offset_ns=offset,
        side=sides,
        sessions=spans,
        profile_sessions=spans,
        resolution_ns=step,
        tied_share=tied,
    )


def check_seed(seed: object) -> None:
    """Refuse what is not an integer in 0 .. 2^64 - 1."""
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or not 0 <= seed < 2**64:
        raise InvalidInputError(f"seed is {seed!r}; give an integer in 0 .. 2^64 - 1")


def _checked_times(time_ns: ArrayLike) -> Int64Array:
    given = np.asarray(time_ns)
    if given.ndim != 1:
        raise InvalidTicksError(f"time_ns has {given.ndim} dimensions; give one")
    if not given.size:
        raise InvalidTicksError("time_ns is empty; give events")
    if given.dtype.kind == "f":
        bad = np.flatnonzero(~np.isfinite(given))
        if len(bad):
            raise InvalidTicksError(f"time_ns is {given[bad[0]]} at row {bad[0]}; drop or repair such rows")
        raise InvalidTicksError(
            f"time_ns has dtype {given.dtype}, first value {given[0]}; give int64 "
            "nanoseconds (round(seconds * 1e9)): floats of epoch seconds resolve 238 ns only"
        )
    if given.dtype.kind == "M":
        missing = np.flatnonzero(np.isnat(given))
        if len(missing):
            raise InvalidTicksError(f"time_ns is NaT at row {missing[0]}; drop or repair such rows")
        given = given.astype("datetime64[ns]").view(np.int64)
    if given.dtype.kind not in "iu":
        raise InvalidTicksError(f"time_ns has dtype {given.dtype}; give int64 nanoseconds")
    if given.dtype.kind == "u" and int(given.max()) > _YEAR_2200_NS:  # would wrap to a negative number
        raise InvalidTicksError(
            f"time_ns is {given.max()}, beyond the year 2200; give nanoseconds since 1970 UTC"
        )
    times = np.ascontiguousarray(given, dtype=np.int64)
    if times[0] < 0:
        raise InvalidTicksError(f"time_ns is {times[0]} at row 0; give nanoseconds at or above 0")
    if times[-1] > _YEAR_2200_NS:
        raise InvalidTicksError(
            f"time_ns is {times[-1]}, beyond the year 2200; give nanoseconds since 1970 UTC"
        )
    back = np.flatnonzero(times[1:] < times[:-1])
    if len(back):
        row = int(back[0]) + 1
        raise InvalidTicksError(
            f"time_ns goes back by {int(times[row - 1]) - int(times[row])} ns at row {row}; sort by time first"
        )
    if len(times) > 1 and times[0] == times[-1]:
        raise InvalidTicksError(
            f"all {len(times)} events share the stamp {times[0]}; a constant clock carries no information"
        )
    span = int(times[-1] - times[0])
    if len(times) >= 3 and (span < 10 * len(times) or _looks_like_epoch(int(times[0]), int(times[-1]))):
        raise InvalidTicksError(
            f"time_ns spans {span} ns for {len(times)} events, first value {times[0]}: these look like seconds or "
            "milliseconds; multiply to nanoseconds"
        )
    return times


def _looks_like_epoch(first: int, last: int) -> bool:
    """Whether stamps are seconds, milliseconds or microseconds since 1970, years 2008 to 2039."""
    return any(
        1_200_000_000 * unit < first and last < 2_200_000_000 * unit and last - first < 20_000_000 * unit
        for unit in (1, 1_000, 1_000_000)
        if last - first < 10_000_000_000 * (unit > 1) + 1_000_000_000 * (unit == 1)
    )


def _checked_sides(side: ArrayLike) -> NDArray[np.int8]:
    given = np.asarray(side)
    if given.ndim != 1:
        raise InvalidTicksError(f"side has {given.ndim} dimensions; give one")
    wrong = np.flatnonzero((given != 1) & (given != -1))
    if len(wrong):
        row = int(wrong[0])
        hint = "sign the trades first (sign_trades)" if given[row] == 0 else "give +1 (buy) or -1 (sell)"
        raise InvalidTicksError(f"side is {given[row]} at row {row} ({len(wrong)} such rows); {hint}")
    return np.ascontiguousarray(given, dtype=np.int8)


def _checked_sessions(times: Int64Array, sessions: ArrayLike | None) -> Int64Array:
    if sessions is None:
        return np.array([[int(times[0]), int(times[-1]) + 1]], dtype=np.int64)
    given = np.asarray(sessions)
    if given.dtype.kind not in "iu":
        raise InvalidTicksError(f"sessions has dtype {given.dtype}; give int64 nanoseconds")
    spans = np.ascontiguousarray(given, dtype=np.int64)
    if spans.ndim == 1 and spans.size == 2:
        spans = spans.reshape(1, 2)
    if spans.ndim != 2 or spans.shape[1] != 2 or not len(spans):
        raise InvalidTicksError(f"sessions has shape {spans.shape}; give (sessions, 2): start and end, ns")
    if np.any(spans[:, 1] <= spans[:, 0]) or np.any(spans[1:, 0] < spans[:-1, 1]):
        raise InvalidTicksError("sessions overlap or end before they start; give them in order")
    return spans


def _check_inside(times: Int64Array, spans: Int64Array) -> None:
    edges = np.searchsorted(times, spans)
    counts = edges[:, 1] - edges[:, 0]
    if counts.sum() != len(times):
        if int(spans[-1, 1]) * 1_000 < int(times[0]):
            raise InvalidTicksError(
                f"sessions end at {spans[-1, 1]}, time_ns begins at {times[0]}: the sessions look like seconds or "
                "milliseconds; multiply to nanoseconds"
            )
        ends = np.concatenate([[0], edges[:, 1]])
        starts = np.concatenate([edges[:, 0], [len(times)]])
        row = int(ends[np.argmax(starts > ends)])
        raise InvalidTicksError(
            f"time_ns is {times[row]} at row {row}, outside every session ({len(times) - counts.sum()} such rows); "
            "cut the events to the sessions or widen them"
        )
    if np.any(counts == 0):
        s = int(np.argmin(counts))
        raise InvalidTicksError(
            f"session {s} ({spans[s, 0]} .. {spans[s, 1]}) has no events; leave sessions without trading out"
        )


def _clock_step(times: Int64Array) -> int:
    step = int(np.gcd.reduce(np.diff(times[:1_000])))
    if step != 1:
        step = math.gcd(step, int(np.gcd.reduce(np.diff(times))))
    return max(1, step)


def _spread_ties(times: Int64Array, step_ns: int, seed: int) -> tuple[Float64Array | None, float]:
    same = times[1:] == times[:-1]
    if not same.any():
        return None, 0.0
    tied = np.zeros(len(times), dtype=bool)
    tied[1:] |= same
    tied[:-1] |= same
    rows = np.flatnonzero(tied)
    group = np.cumsum(np.concatenate([[True], ~same]))[rows]
    draw = np.random.default_rng(seed).random(len(rows))
    offset = np.zeros(len(times))
    begin = 0
    while begin < len(
        rows
    ):  # sort group + draw: by parts, so that the group leaves 36 bits and more to the draw
        end = min(begin + _TIES_AT_A_TIME, len(rows))
        end = int(np.searchsorted(group, group[end - 1], side="right"))
        part = np.cumsum(np.diff(group[begin:end], prepend=group[begin]) > 0).astype(np.float64)
        inside = np.clip(np.sort(part + draw[begin:end]) - part, 0.0, 1.0 - 2.0**-40)
        offset[rows[begin:end]] = inside * step_ns
        begin = end
    return offset, len(rows) / len(times)
