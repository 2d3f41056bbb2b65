"""Write a market as LEAN tick zips, so that `calibrig run` can be tried without real data."""

from __future__ import annotations

import zipfile
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np

from calibrig.market import MarketData

NEW_YORK = ZoneInfo("America/New_York")


def write_lean(market: MarketData, folder: Path, *, symbol: str = "acme") -> Path:
    """Write one trade and one quote zip per session below ``folder / symbol``; return that folder."""
    target = folder / symbol
    target.mkdir(parents=True, exist_ok=True)
    tick = round(market.instrument.tick_size * 10_000)
    for start, end in market.sessions:
        day = datetime.fromtimestamp(int(start) / 1e9, UTC).astimezone(NEW_YORK)
        midnight = int(day.replace(hour=0, minute=0, second=0, microsecond=0).timestamp()) * 10**9
        part = market.between(int(start), int(end))
        name = f"{day:%Y%m%d}"
        t, q = part.trades, part.quotes
        trades = np.column_stack(((t.time_ns - midnight) // 10**6, t.price_ticks * tick, t.size_lots))
        rows = "".join(f"{a},{b},{c},P,1,0\n" for a, b, c in trades.tolist())
        _write(target / f"{name}_trade.zip", f"{name}_{symbol}_trade_Tick.csv", rows)
        quotes = np.column_stack(
            ((q.time_ns - midnight) // 10**6, q.bid_ticks * tick, q.bid_lots, q.ask_ticks * tick, q.ask_lots)
        )
        rows = "".join(f"{a},{b},{c},0,0,P,1,0\n{a},0,0,{d},{e},P,1,0\n" for a, b, c, d, e in quotes.tolist())
        _write(target / f"{name}_quote.zip", f"{name}_{symbol}_quote_Tick.csv", rows)
    return target


def _write(path: Path, member: str, text: str) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(member, text)
