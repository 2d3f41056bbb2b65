"""What a replay brings back: orders, fills, samples and sessions as columns, frozen."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibrig.engine.limits import REASONS
from calibrig.parameters import KINDS, Instrument

__all__ = ["ACTIONS", "FILL_KINDS", "Columns", "Replay"]

ACTIONS = ("place", "replace", "cancel")
FILL_KINDS = ("queue", "touch", "through", "crossed", "liquidation")


class Columns(Mapping[str, NDArray[Any]]):
    """A frozen table: columns by name or attribute, all of one length.

    Examples
    --------
    >>> import numpy as np
    >>> table = Columns({"side": np.array([1, -1])})
    >>> table.side.tolist(), len(table["side"]), table.rows
    ([1, -1], 2, 2)
    """

    __slots__ = ("_columns",)

    def __init__(self, columns: Mapping[str, NDArray[Any]]) -> None:
        for array in columns.values():
            array.flags.writeable = False
        self._columns = dict(columns)

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(next(iter(self._columns.values())))

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self._columns[name]

    def __getattr__(self, name: str) -> NDArray[Any]:
        if name.startswith("_") or name not in self._columns:
            raise AttributeError(f"there is no column {name!r}; the columns are {', '.join(self)}")
        return self._columns[name]

    def __iter__(self) -> Any:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)

    def __reduce__(self) -> tuple[type[Columns], tuple[dict[str, NDArray[Any]]]]:
        return Columns, (self._columns,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """Result of one replay. Times are ns UTC, prices ticks, sizes lots, money price units.

    Attributes
    ----------
    orders : Columns
        One row per message: ``id, time_ns`` (decision), ``event`` (index of the tick, as in ``extract_features``),
        ``side, action`` (index into ``ACTIONS``), ``price_ticks, size_lots, replaces`` and the parameter versions
        ``hawkes_version, quoting_version, risk_version, signal_version`` it was made with (0 = not versioned).
    fills : Columns
        ``order_id`` (0 = liquidation), ``time_ns, event, side, price_ticks, size_lots, kind`` (index into
        ``FILL_KINDS``), ``twice_mid_ticks`` (bid + ask then), ``position_lots`` after it.
    samples : Columns
        State before a tick every ``sample_s``: ``time_ns, event, bid_ticks, ask_ticks, own_bid_ticks,
        own_ask_ticks`` (0 = none), ``position_lots, pnl`` (of the session), ``regime, regime_signal, signal,
        buy_intensity, sell_intensity, reservation_shift_ticks, reason``.
    sessions : Columns
        ``start_ns, end_ns, ticks, fills, traded_lots, messages, largest_position_lots, pnl`` (after fees, flat),
        ``fees, max_drawdown, reason`` and the exact integers ``cash_tick_lots, fees_micro_tick_lots``.
    reasons : Columns
        ``time_ns, event, reason``: every change of the reason not to trade (0 = trading; index into ``REASONS``).
    updates : Columns
        ``time_ns, event, parameters`` and the four versions: which set took effect at which tick.
    counts : mapping of str to int
        How often each reason arose; refused orders under the name of the check.
    compute_ns : ndarray of int32
        The loop's own time for a sample of ticks (one in 64), sorted; real time, the only figures here that differ
        from run to run.
    events, run_s : int, float
        Ticks processed and the seconds that took.
    fill_model : str
        Every figure depends on it.
    instrument : Instrument
    complete : bool
        False where the run was stopped before the last tick.
    apply_ns : ndarray of int64
        Per row of `updates`: from the newest stamp of the set to its first cycle, real time; -1 where the set was not
        published live or has no new version.
    """

    orders: Columns
    fills: Columns
    samples: Columns
    sessions: Columns
    reasons: Columns
    updates: Columns
    counts: Mapping[str, int]
    compute_ns: NDArray[np.int32]
    events: int
    run_s: float
    fill_model: str
    instrument: Instrument
    complete: bool
    apply_ns: NDArray[np.int64]

    @property
    def events_per_s(self) -> float:
        """Ticks per second of the run."""
        return self.events / self.run_s if self.run_s > 0.0 else 0.0

    @property
    def pnl(self) -> float:
        """Sum of the sessions' P&L after fees, price units."""
        return float(np.sum(self.sessions["pnl"]))

    def latency_percentile(self, share: float) -> float:
        """Return a percentile of the loop's own time per tick, ns; NaN without samples."""
        return float(np.quantile(self.compute_ns, share)) if len(self.compute_ns) else float("nan")

    def digest(self) -> str:
        """Return a SHA-256 over orders, fills, sessions, reasons and updates: equal runs have equal digests."""
        hasher = hashlib.sha256()
        for table in (self.orders, self.fills, self.sessions, self.reasons, self.updates):
            for name, array in table.items():
                hasher.update(name.encode())
                hasher.update(np.ascontiguousarray(array).tobytes())
        return hasher.hexdigest()

    def summary(self) -> str:
        """Return the run in a few lines of text."""
        s = self.sessions
        blocked = ", ".join(f"{name} {count}" for name, count in self.counts.items() if count) or "none"
        lines = [
            f"{self.instrument.symbol}: {self.events:,} ticks in {self.run_s:.2f} s, {s.rows} sessions, "
            f"fill model {self.fill_model}",
            f"P&L {self.pnl:,.2f} {self.instrument.price_unit} after fees of {float(np.sum(s['fees'])):,.2f}, "
            f"{int(np.sum(s['fills'])):,} fills, {int(np.sum(s['messages'])):,} messages",
            f"largest position {int(np.max(s['largest_position_lots'], initial=0)):,} lots, "
            f"largest drawdown of a session {float(np.max(s['max_drawdown'], initial=0.0)):,.2f}",
            f"reasons not to trade, and orders refused: {blocked}",
        ]
        if not self.complete:
            lines.append("stopped before the last tick")
        return "\n".join(lines)


def collect(
    native: Any,
    *,
    instrument: Instrument,
    fill_model: str,
    versions: list[dict[str, int]],
    run_s: float,
    complete: bool,
) -> Replay:
    """Return the frozen result of a native replay; ``versions`` holds the published sets in order."""
    by_set = {kind: np.array([v.get(kind, 0) for v in versions], np.int64) for kind in KINDS}
    orders, updates, sessions, samples = (
        native.orders(),
        native.updates(),
        native.sessions(),
        native.samples(),
    )
    apply_ns = updates.pop("apply_ns")
    apply_ns.flags.writeable = False
    used = orders.pop("parameters")
    signal_version = orders.pop("signal_version")
    for kind in KINDS:
        orders[f"{kind}_version"] = signal_version if kind == "signal" else by_set[kind][used]
        updates[f"{kind}_version"] = by_set[kind][updates["parameters"]]
    unit = instrument.tick_size * instrument.lot_size
    for name in ("pnl", "max_drawdown"):
        sessions[name] = sessions[name] * unit
    sessions["fees"] = sessions["fees_micro_tick_lots"] * 1e-6 * unit
    samples["pnl"] = samples["pnl"] * unit
    compute_ns = np.sort(native.compute_ns())
    compute_ns.flags.writeable = False
    return Replay(
        orders=Columns(orders),
        fills=Columns(native.fills()),
        samples=Columns(samples),
        sessions=Columns(sessions),
        reasons=Columns(native.reasons()),
        updates=Columns(updates),
        counts={name: count for name, count in native.counts().items() if name in REASONS},
        compute_ns=compute_ns,
        events=native.event + 1,
        run_s=run_s,
        fill_model=fill_model,
        instrument=instrument,
        complete=complete,
        apply_ns=apply_ns,
    )
