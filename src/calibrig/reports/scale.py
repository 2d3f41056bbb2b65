"""Axes: from values to positions, with ticks a person would choose."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Axis", "Tick", "axis_of", "format_number", "log_axis", "time_axis"]

Kind = Literal["linear", "log", "time"]
_SECOND = 1_000_000_000
_TIME_STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)


@dataclass(frozen=True, slots=True)
class Tick:
    """One tick: where, and what is written there."""

    value: float
    label: str


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis: its span in data units (time: ns since 1970 UTC) and its label."""

    low: float
    high: float
    label: str = ""
    kind: Kind = "linear"
    ticks: tuple[Tick, ...] = ()

    def position(self, values: ArrayLike) -> NDArray[np.float64]:
        """Return the share of the span, 0 at ``low`` and 1 at ``high``, clipped a little outside."""
        numbers = np.asarray(values, dtype=np.float64)
        if self.kind == "log":
            with np.errstate(divide="ignore", invalid="ignore"):
                numbers = np.log10(numbers)
            low, high = math.log10(self.low), math.log10(self.high)
        else:
            low, high = self.low, self.high
        share: NDArray[np.float64] = np.clip((numbers - low) / (high - low), -0.02, 1.02)
        return share


def axis_of(*values: ArrayLike, label: str = "", zero: bool = False, pad: float = 0.05) -> Axis:
    """Return a linear axis that holds all finite ``values``, with ticks at 1, 2 or 5 times a power of ten.

    Examples
    --------
    >>> [tick.label for tick in axis_of([0.0, 10.0], pad=0.0).ticks]
    ['0', '2', '4', '6', '8', '10']
    """
    low, high = _span(values)
    if zero:
        low, high = min(low, 0.0), max(high, 0.0)
    margin = (high - low) * pad if high > low else abs(high) * 0.05 or 1.0
    low -= 0.0 if zero and low == 0.0 else margin
    high += 0.0 if zero and high == 0.0 else margin
    if high - low <= max(
        1e-12 * max(abs(low), abs(high)), 1e-250
    ):  # nothing but zeros, or one value and no margin
        high = low + max(1.0, abs(low) * 1e-3)
    step = _nice_step((high - low) / 5.0)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    ticks = tuple(Tick(i * step, _format_tick(i * step, decimals)) for i in range(first, last + 1))
    return Axis(low, high, label, "linear", ticks)


def log_axis(*values: ArrayLike, label: str = "") -> Axis:
    """Return a logarithmic axis over the positive ``values``, with decades and, where few, 2 and 5.

    Examples
    --------
    >>> [tick.label for tick in log_axis([100.0, 10_000.0]).ticks]
    ['100', '200', '500', '1k', '2k', '5k', '10k']
    """
    low, high = _span([array[array > 0] for array in map(_numbers, values)], default=(1.0, 10.0))
    if high <= low:
        low, high = low / 2.0, high * 2.0
    low_decade, high_decade = math.floor(math.log10(low) + 1e-9), math.ceil(math.log10(high) - 1e-9)
    marks: tuple[int, ...] = (1, 2, 5) if high_decade - low_decade <= 3 else (1,)
    if high < 8.0 * low:
        marks = (1, 2, 3, 4, 5, 6, 8)
    candidates = [m * 10.0**d for d in range(low_decade, high_decade + 1) for m in marks]
    ticks = tuple(Tick(v, _compact(v)) for v in candidates if low * 0.999 <= v <= high * 1.001)
    return Axis(low, high, label, "log", ticks)


def time_axis(low_ns: int, high_ns: int, *, count: int = 7) -> Axis:
    """Return a time axis in UTC with ticks at round times.

    Examples
    --------
    >>> axis = time_axis(0, 6 * 3600 * 1_000_000_000)
    >>> [tick.label for tick in axis.ticks][:3], axis.label
    (['00:00', '01:00', '02:00'], 'time, UTC, 1970-01-01')
    """
    high_ns = max(high_ns, low_ns + 1)
    wanted_s = (high_ns - low_ns) / _SECOND / count
    step_s = next((s for s in _TIME_STEPS_S if s >= wanted_s), _TIME_STEPS_S[-1])
    step = step_s * _SECOND
    if wanted_s < 0.5:
        step = max(1, round(_nice_step(wanted_s) * _SECOND))
    first = -(-low_ns // step) * step
    ticks = tuple(Tick(t, _clock(t, step)) for t in range(first, high_ns + 1, step))
    day = datetime.fromtimestamp(low_ns // _SECOND, UTC).strftime("%Y-%m-%d")
    return Axis(low_ns, high_ns, f"time, UTC, {day}", "time", ticks)


def format_number(value: float | None, digits: int = 4) -> str:
    r"""Return ``value`` with ``digits`` significant digits, groups of three, a real minus sign; None is a dash.

    Examples
    --------
    >>> format_number(1234567.0), format_number(0.00012345), format_number(None)
    ('1\u202f235\u202f000', '0.0001234', '–')
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if isinstance(value, int) or (float(value).is_integer() and abs(value) < 10**digits):
        text = f"{int(value):,}"
    elif value != 0 and not 1e-4 <= abs(value) < 1e9:
        text = f"{value:.{digits - 1}e}"
    else:
        magnitude = math.floor(math.log10(abs(value))) if value else 0
        rounded = round(float(value), digits - 1 - magnitude)
        text = f"{rounded:,.{max(0, digits - 1 - magnitude)}f}"
    return text.replace(",", "\u202f").replace("-", "−")


def _numbers(values: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64).ravel()
    return array[np.isfinite(array)]


def _span(values: object, default: tuple[float, float] = (0.0, 1.0)) -> tuple[float, float]:
    arrays = [_numbers(array) for array in values]  # type: ignore[attr-defined]
    arrays = [array for array in arrays if len(array)]
    if not arrays:
        return default
    return min(float(a.min()) for a in arrays), max(float(a.max()) for a in arrays)


def _nice_step(raw: float) -> float:
    power = 10.0 ** math.floor(math.log10(raw))
    return float(next(m * power for m in (1.0, 2.0, 5.0, 10.0) if raw <= m * power * (1 + 1e-9)))


def _format_tick(value: float, decimals: int) -> str:
    if value == 0:
        return "0"
    if abs(value) >= 1e4 and decimals == 0:
        return _compact(value)
    return f"{value:.{decimals}f}".replace("-", "−")


def _compact(value: float) -> str:
    for limit, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= limit:
            return f"{value / limit:.6g}{suffix}".replace("-", "−")
    return f"{value:.6g}".replace("-", "−")


def _clock(time_ns: int, step_ns: int) -> str:
    moment = datetime.fromtimestamp(time_ns // _SECOND, UTC)
    if step_ns >= 86_400 * _SECOND:
        return moment.strftime("%m-%d")
    if step_ns % (60 * _SECOND) == 0:
        return moment.strftime("%H:%M")
    if step_ns % _SECOND == 0:
        return moment.strftime("%H:%M:%S")
    return moment.strftime("%H:%M:%S") + f".{time_ns % _SECOND // 1_000_000:03d}"
