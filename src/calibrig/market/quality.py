"""How good the ticks are: what was read, left out, repaired or doubtful, in one record."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from calibrig.market.signing import SIGNING_RULES, Int8Array, compute_signing_rules
from calibrig.market.ticks import Int64Array, MarketData, Quotes, Trades

__all__ = ["QualityReport", "compute_fingerprint", "measure_quality", "report_quality"]

GAP_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityReport:
    """What is known about the quality of some ticks.

    Attributes
    ----------
    symbol, formats, files
        What was read, by which readers, from where.
    rows, bad_rows : int
        Rows in the files, and those left out because they cannot be read (only with ``skip_bad_rows``).
    trades, quotes, sessions : int
        What is left.
    start_ns, end_ns : int
        First and last event.
    time_unit : str
        Unit of the source's times; ``resolution_ns`` is the step of its clock.
    out_of_order, duplicates, outside_hours, suspicious, zero_size, bad_prices, transient, unchanged : int
        Rows sorted into place; repeated ids left out; rows outside the sessions; rows the vendor marked; trades
        of size 0; prices not above 0; crossed or locked states replaced at the same stamp; quote rows that
        change nothing.
    missing_ids : int
        Numbers missing in the venue's sequence of trades.
    gaps : int
        Stretches of more than 60 s without an event inside a session; ``longest_gap_s`` is the longest stretch.
    crossed_share, locked_share : float
        Share of session time with bid above (equal to) ask.
    off_grid_share : float
        Share of trades between two ticks.
    outside_quotes_share : float
        Share of trades more than one tick outside the best quotes before them.
    clock_offset_ms : tuple of float or None
        Smallest and largest local-minus-exchange offset taken out; None where there is one clock only.
    signed_by : dict
        Share of trades by the rule that gave their side: source, mid, tick_rule, reverse_tick_rule, unsigned.
    tied_share : float
        Share of trades with the stamp of the trade before.
    fingerprint : str
        SHA-256 over all columns: equal ticks, equal fingerprint.
    warnings : tuple of str
        What a reader should know before trusting results.
    """

    symbol: str
    formats: tuple[str, ...]
    files: tuple[str, ...]
    rows: int
    bad_rows: int
    trades: int
    quotes: int
    sessions: int
    start_ns: int
    end_ns: int
    time_unit: str
    resolution_ns: int
    out_of_order: int = 0
    duplicates: int = 0
    outside_hours: int = 0
    suspicious: int = 0
    zero_size: int = 0
    bad_prices: int = 0
    transient: int = 0
    unchanged: int = 0
    missing_ids: int = 0
    gaps: int = 0
    longest_gap_s: float = 0.0
    crossed_share: float = 0.0
    locked_share: float = 0.0
    off_grid_share: float = 0.0
    outside_quotes_share: float = 0.0
    clock_offset_ms: tuple[float, float] | None = None
    signed_by: dict[str, float] = field(default_factory=dict)
    tied_share: float = 0.0
    fingerprint: str = ""
    warnings: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain values, ready for JSON."""
        return asdict(self)

    def summary(self) -> str:
        """Return the report as a few lines of text."""
        signed = ", ".join(f"{rule} {share:.1%}" for rule, share in self.signed_by.items() if share > 0.0)
        lines = [
            f"{self.symbol}: {self.trades:,} trades, {self.quotes:,} quotes in {self.sessions} session(s), "
            f"{len(self.files)} file(s) ({', '.join(self.formats)})",
            f"  rows {self.rows:,} ({self.bad_rows:,} unreadable, {self.outside_hours:,} outside hours, "
            f"{self.duplicates:,} repeated, {self.out_of_order:,} out of order, {self.suspicious:,} suspicious)",
            f"  clock {self.time_unit}, {self.tied_share:.1%} of trades share the stamp before; gaps over "
            f"{GAP_S:.0f} s: {self.gaps} (longest {self.longest_gap_s:,.1f} s)",
            f"  crossed {self.crossed_share:.4%}, locked {self.locked_share:.4%} of the time; trades off the tick "
            f"grid {self.off_grid_share:.2%}, outside the quotes {self.outside_quotes_share:.2%}",
            f"  side from: {signed or 'no trades'}",
            f"  fingerprint {self.fingerprint[:16]}",
        ]
        if self.clock_offset_ms is not None:
            low, high = self.clock_offset_ms
            lines.insert(3, f"  local clock minus exchange clock {low:,.1f} to {high:,.1f} ms, taken out")
        return "\n".join([*lines, *(f"  warning: {text}" for text in self.warnings)])


def compute_fingerprint(market: MarketData) -> str:
    """Return the SHA-256 (hex) of every column, the sessions and the instrument's grid.

    Parameters
    ----------
    market : MarketData

    Returns
    -------
    str

    Examples
    --------
    >>> from calibrig.market import Instrument, MarketData, Quotes, Trades, compute_fingerprint
    >>> fix = {"instrument": Instrument(symbol="X", tick_size=1.0, lot_size=1.0), "sessions": [[0, 100]]}
    >>> quotes = Quotes(time_ns=[0], bid_ticks=[10], bid_lots=[1], ask_ticks=[12], ask_lots=[1], **fix)
    >>> trades = Trades(time_ns=[1], price_ticks=[12], size_lots=[1], side=[1], id=[1], **fix)
    >>> market = MarketData(trades=trades, quotes=quotes)
    >>> compute_fingerprint(market) == compute_fingerprint(market.between(0, 100))
    True
    """
    digest = hashlib.sha256()
    instrument = market.instrument
    digest.update(f"{instrument.symbol}|{instrument.tick_size!r}|{instrument.lot_size!r}".encode())
    for owner, names in (
        (market.trades, ("time_ns", "price_ticks", "size_lots", "side", "id", "sub_tick", "local_time_ns")),
        (market.quotes, ("time_ns", "bid_ticks", "bid_lots", "ask_ticks", "ask_lots", "local_time_ns")),
    ):
        for name in (*names, "sessions"):
            column = getattr(owner, name)
            digest.update(f"|{name}:{'none' if column is None else len(column)}|".encode())
            if column is not None:
                digest.update(memoryview(column).cast("B") if column.size else b"")
    return digest.hexdigest()


def report_quality(market: MarketData, files: list[str]) -> QualityReport:
    """Return the report of ticks that are on their grid already (simulated, or calibrig's own files)."""
    _, rules = compute_signing_rules(market.trades, market.quotes)
    return QualityReport(
        symbol=market.instrument.symbol,
        formats=("calibrig",),
        files=tuple(files),
        rows=len(market.trades) + len(market.quotes),
        bad_rows=0,
        time_unit="ns",
        resolution_ns=market.trades.resolution_ns,
        fingerprint=compute_fingerprint(market),
        **measure_quality(market, rules),
    )


def measure_quality(market: MarketData, rules: Int8Array) -> dict[str, Any]:
    """Return the figures of the report that follow from the ticks themselves."""
    trades, quotes = market.trades, market.quotes
    crossed, locked = measure_crossing(quotes)
    gaps, longest = _measure_gaps(market)
    n = max(1, len(trades))
    share = np.bincount(rules, minlength=len(SIGNING_RULES)) / n
    ends = [int(t[i]) for t in (trades.time_ns, quotes.time_ns) if len(t) for i in (0, -1)]
    off_grid = 0 if trades.sub_tick is None else int(np.count_nonzero(trades.sub_tick))
    return {
        "trades": len(trades),
        "quotes": len(quotes),
        "sessions": len(market.sessions),
        "start_ns": min(ends, default=0),
        "end_ns": max(ends, default=0),
        "gaps": gaps,
        "longest_gap_s": longest,
        "crossed_share": crossed,
        "locked_share": locked,
        "off_grid_share": off_grid / n,
        "outside_quotes_share": _count_outside(trades, quotes) / n,
        "signed_by": {rule: float(s) for rule, s in zip(SIGNING_RULES, share, strict=True)},
        "tied_share": float(np.count_nonzero(np.diff(trades.time_ns) == 0) / n),
    }


def measure_crossing(quotes: Quotes) -> tuple[float, float]:
    """Return the shares of quoted session time with bid above ask and with bid equal to ask."""
    if len(quotes) == 0:
        return 0.0, 0.0
    doubtful = np.flatnonzero(quotes.bid_ticks >= quotes.ask_ticks)
    if len(doubtful) == 0:
        return 0.0, 0.0
    session = np.searchsorted(quotes.sessions[:, 0], quotes.time_ns[doubtful], side="right") - 1
    end = quotes.sessions[np.maximum(session, 0), 1]
    after = np.where(
        doubtful + 1 < len(quotes), quotes.time_ns[np.minimum(doubtful + 1, len(quotes) - 1)], end
    )
    stood = np.maximum(np.minimum(after, end) - quotes.time_ns[doubtful], 0)
    total = float(np.sum(quotes.sessions[:, 1] - quotes.sessions[:, 0]))
    crossed = quotes.bid_ticks[doubtful] > quotes.ask_ticks[doubtful]
    return float(stood[crossed].sum() / total), float(stood[~crossed].sum() / total)


def _measure_gaps(market: MarketData) -> tuple[int, float]:
    gaps, longest = 0, 0
    for start, end in market.sessions:
        parts = [_inside(t, int(start), int(end)) for t in (market.trades.time_ns, market.quotes.time_ns)]
        if len(parts[0]) == 0 or len(parts[1]) == 0:
            steps = [np.diff(np.concatenate(([start], parts[0], parts[1], [end])))]
        else:  # a stretch without any event lies inside a stretch without quotes: look at the long ones only
            steps = [_steps_without(parts[1], parts[0], int(start), int(end))]
        for step in steps:
            gaps += int(np.count_nonzero(step > GAP_S * 1e9))
            longest = max(longest, int(step.max(initial=0)))
    return gaps, longest / 1e9


def _inside(time_ns: Int64Array, start: int, end: int) -> Int64Array:
    low, high = np.searchsorted(time_ns, (start, end))
    return time_ns[low:high]


def _steps_without(quotes: Int64Array, trades: Int64Array, start: int, end: int) -> Int64Array:
    """Stretches without any event that can be the longest or count as a gap."""
    edges = np.concatenate(([start], quotes, [end]))
    step = np.diff(edges)
    long = np.flatnonzero(step >= min(1_000_000_000, int(step.max())))
    low, high = np.searchsorted(trades, edges[long]), np.searchsorted(trades, edges[long + 1])
    empty = step[long[low == high]]
    broken = (low < high) & (step[long] > min(int(empty.max(initial=0)), round(GAP_S * 1e9)))
    found = [empty]
    for i, a, b in zip(long[broken], low[broken], high[broken], strict=True):
        found.append(np.diff(np.concatenate(([edges[i]], trades[a:b], [edges[i + 1]]))))
    return np.concatenate(found)


def _count_outside(trades: Trades, quotes: Quotes) -> int:
    if len(trades) == 0 or len(quotes) == 0:
        return 0
    row = np.maximum(np.searchsorted(quotes.time_ns, trades.time_ns, side="left") - 1, 0)
    low = trades.price_ticks < quotes.bid_ticks[row] - 1
    high = trades.price_ticks > quotes.ask_ticks[row] + 1
    return int(np.count_nonzero(low | high))
