"""Files and folders in, one market of one symbol with its quality report out."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from calibrig.errors import FileFormatError, InvalidInputError, InvalidTicksError, MissingFileError
from calibrig.market.assembly import assemble
from calibrig.market.choosing import choose_days, choose_sessions, choose_symbol, name_symbols
from calibrig.market.columns import read_mapped_file
from calibrig.market.files import Paths, SourceFile, list_sources
from calibrig.market.formats import read_source
from calibrig.market.parquet import OWN_SUFFIX, join_markets, read_own_files
from calibrig.market.quality import QualityReport, report_quality
from calibrig.market.ticks import MarketData, Quotes, Trades

__all__ = [
    "MarketReading",
    "load_trades",
    "read_columns",
    "read_market",
    "read_markets",
    "read_quotes",
    "read_trades",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketReading:
    """What :func:`read_market` found: the ticks and how good they are."""

    market: MarketData
    quality: QualityReport


def read_market(
    paths: Paths,
    *,
    symbol: str | None = None,
    days: Iterable[dt.date | str] | None = None,
    tick_size: float | None = None,
    lot_size: float | None = None,
    skip_bad_rows: bool = False,
) -> MarketReading:
    r"""Read trades and quotes of one symbol from files and folders of any known format.

    Parameters
    ----------
    paths : path or iterable of paths
        Files, archives or folders (searched through); several days of one symbol become several sessions.
    symbol : str, optional
        Which symbol, where the files hold several.
    days : iterable of date or ISO string, optional
        Only these days (UTC day of the session's start).
    tick_size, lot_size : float, optional
        Grid in price and size units; by default as the format says, or inferred from the data (with a warning).
    skip_bad_rows : bool, default False
        Leave out rows that cannot be read and sort rows out of order, and count both, instead of refusing.

    Returns
    -------
    MarketReading
        ``market`` and ``quality``. Every trade is signed where the data allow it (see :func:`sign_trades`).

    Raises
    ------
    MissingFileError, FileFormatError, InvalidTicksError
        Each names the file, where known row and field, and what to do.

    Examples
    --------
    >>> import tempfile, zipfile
    >>> from pathlib import Path
    >>> from calibrig.market import read_market
    >>> folder = Path(tempfile.mkdtemp()) / "acme"
    >>> folder.mkdir()
    >>> def write(kind, rows):
    ...     with zipfile.ZipFile(folder / f"20131007_{kind}.zip", "w") as archive:
    ...         archive.writestr(f"20131007_acme_{kind}_Tick.csv", rows)
    >>> write("trade", "36000000,100100,300,P,1,0\n")
    >>> write("quote", "35999000,100000,500,0,0,P,1,0\n35999000,0,0,100100,200,P,1,0\n")
    >>> reading = read_market(folder)
    >>> reading.market.trades.price_ticks.tolist(), reading.market.trades.side.tolist()
    ([1001], [1])
    >>> reading.quality.symbol, reading.quality.rows
    ('ACME', 3)
    """
    sources = list_sources(paths)
    if own := _own_files(sources):
        return _read_own(own, symbol, days)
    parts = [part for source in sources for part in read_source(source, skip_bad_rows=skip_bad_rows)]
    parts = choose_days(choose_symbol(parts, symbol), days)
    market, quality = assemble(parts, tick_size=tick_size, lot_size=lot_size, skip_bad_rows=skip_bad_rows)
    return MarketReading(market=market, quality=quality)


def read_markets(
    paths: Paths, *, days: Iterable[dt.date | str] | None = None, skip_bad_rows: bool = False
) -> dict[str, MarketReading]:
    """Read every symbol that files and folders hold, each file once.

    Parameters
    ----------
    paths, days, skip_bad_rows
        As in :func:`read_market`. Of a future the most traded expiry is taken.

    Returns
    -------
    dict of str to MarketReading
        By symbol, sorted.

    Raises
    ------
    MissingFileError, FileFormatError, InvalidTicksError
        As :func:`read_market`, for the first symbol that cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from calibrig.market import read_markets, simulate_market, write_market
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = write_market(simulate_market(seed=1, sessions=1, session_s=60.0).market, folder)
    >>> list(read_markets(folder))
    ['SIM']
    """
    sources = list_sources(paths)
    if own := _own_files(sources):
        names = sorted({market.instrument.symbol for market in read_own_files(own)})
        return {name: _read_own(own, name, days) for name in names}
    parts = [part for source in sources for part in read_source(source, skip_bad_rows=skip_bad_rows)]
    readings = {}
    for name in name_symbols(parts):
        chosen = choose_days(choose_symbol(parts, name), days)
        market, quality = assemble(chosen, skip_bad_rows=skip_bad_rows)
        readings[market.instrument.symbol] = MarketReading(market=market, quality=quality)
    return readings


def _own_files(sources: Sequence[SourceFile]) -> list[Path]:
    """Return the files of our own format; refuse to mix them with others."""
    own = [source.path for source in sources if source.path.suffix.lower() == OWN_SUFFIX]
    if own and len(own) < len(sources):
        other = next(s.label for s in sources if s.path not in own)
        raise FileFormatError(f"{own[0]} and {other} are of different formats; read them apart")
    return own


def _read_own(paths: list[Path], symbol: str | None, days: Iterable[dt.date | str] | None) -> MarketReading:
    markets = read_own_files(paths)
    present = sorted({m.instrument.symbol for m in markets})
    wanted = present[0] if symbol is None else symbol
    chosen = [m for m in markets if m.instrument.symbol.upper() == wanted.upper()]
    if not chosen or (symbol is None and len(present) > 1):
        raise InvalidTicksError(
            f"the files hold {', '.join(present)}; choose one of them with symbol= (--symbol)"
        )
    market = join_markets(chosen)
    if days is not None:
        market = join_markets(
            [market.between(int(a), int(b)) for a, b in choose_sessions(market.sessions, days)]
        )
    return MarketReading(market=market, quality=report_quality(market, [str(path) for path in paths]))


def read_columns(
    tables: Mapping[str | PathLike[str], Mapping[str, str]],
    *,
    symbol: str,
    tick_size: float | None = None,
    lot_size: float | None = None,
    time_zone: str = "UTC",
    separator: str = ",",
    skip_bad_rows: bool = False,
) -> MarketReading:
    r"""Read trades and quotes from CSV or Parquet files of any layout.

    Parameters
    ----------
    tables : mapping of path to mapping
        For each file the names of its columns: ``time``, ``price``, ``size`` and, where there are, ``side`` (buy,
        sell, b, s, 1, -1) and ``id`` for trades; ``time``, ``bid``, ``bid_size``, ``ask``, ``ask_size`` for quotes.
        Times are numbers (s, ms, us or ns since 1970 UTC, told by magnitude), timestamps or ISO text. Each UTC
        day is a session.
    symbol : str
        What was traded.
    tick_size, lot_size : float, optional
        By default inferred from the data, with a warning.
    time_zone : str
        Of timestamps and text without a zone.
    separator : str
        Of CSV files.
    skip_bad_rows : bool, default False
        As in :func:`read_market`.

    Returns
    -------
    MarketReading

    Raises
    ------
    InvalidInputError, MissingFileError, FileFormatError
        The map, a file, or a row and field that cannot be used.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from calibrig.market import read_columns
    >>> path = Path(tempfile.mkdtemp()) / "mine.csv"
    >>> _ = path.write_text("when,px,qty,dir\n2024-01-02T09:00:00,10.5,3,buy\n2024-01-02T09:00:01,10.4,1,sell\n")
    >>> reading = read_columns({path: {"time": "when", "price": "px", "size": "qty", "side": "dir"}}, symbol="X")
    >>> reading.market.trades.price_ticks.tolist(), reading.market.instrument.tick_size
    ([105, 104], 0.1)
    """
    parts = [
        read_mapped_file(
            path,
            columns,
            symbol=symbol,
            time_zone=time_zone,
            separator=separator,
            skip_bad_rows=skip_bad_rows,
        )
        for path, columns in tables.items()
    ]
    if not parts:
        raise InvalidInputError("tables is empty; give at least one path with a map of its columns")
    market, quality = assemble(parts, tick_size=tick_size, lot_size=lot_size, skip_bad_rows=skip_bad_rows)
    return MarketReading(market=market, quality=quality)


def read_trades(paths: Paths, *, symbol: str | None = None, skip_bad_rows: bool = False) -> Trades:
    """Read the trades of one symbol; where quotes are among the files they sign the trades.

    Parameters
    ----------
    paths, symbol, skip_bad_rows
        As in :func:`read_market`.

    Returns
    -------
    Trades

    Raises
    ------
    InvalidTicksError
        The files hold no trades.
    """
    reading = read_market(paths, symbol=symbol, skip_bad_rows=skip_bad_rows)
    if len(reading.market.trades) == 0:
        raise InvalidTicksError(f"{_name(paths)}: no trades are in the files; use read_quotes for quotes")
    return reading.market.trades


def read_quotes(paths: Paths, *, symbol: str | None = None, skip_bad_rows: bool = False) -> Quotes:
    """Read the best quotes of one symbol.

    Parameters
    ----------
    paths, symbol, skip_bad_rows
        As in :func:`read_market`.

    Returns
    -------
    Quotes

    Raises
    ------
    InvalidTicksError
        The files hold no quotes.
    """
    reading = read_market(paths, symbol=symbol, skip_bad_rows=skip_bad_rows)
    if len(reading.market.quotes) == 0:
        raise InvalidTicksError(f"{_name(paths)}: no quotes are in the files; use read_trades for trades")
    return reading.market.quotes


def load_trades(
    symbol: str,
    *,
    start: dt.date | str | None = None,
    end: dt.date | str | None = None,
    folder: str | PathLike[str] = ".",
) -> Trades:
    """Read the trades of a symbol that a folder holds, from ``start`` up to and without ``end``.

    Parameters
    ----------
    symbol : str
        Files and folders whose path contains it (in any case) are read.
    start, end : date or ISO string, optional
        Days, UTC.
    folder : path
        Where to look.

    Returns
    -------
    Trades

    Raises
    ------
    MissingFileError
        Nothing of that symbol is there.
    InvalidTicksError
        No trades in that span.
    """
    root = Path(folder)
    if not root.is_dir():
        raise MissingFileError(f"{root} is not a folder; give the folder that holds the tick files")
    wanted = symbol.lower()
    files = [f for f in sorted(root.rglob("*")) if f.is_file() and wanted in str(f.relative_to(root)).lower()]
    if not files:
        raise MissingFileError(f"{root} holds no file of {symbol!r}; check the symbol and the folder")
    trades = read_trades(files, symbol=symbol)
    inside = trades.between(_to_ns("start", start, 0), _to_ns("end", end, 2**62))
    if len(inside) == 0:
        raise InvalidTicksError(f"{symbol}: no trades from {start} to {end} in {root}; widen the span")
    return inside


def _to_ns(name: str, day: dt.date | str | None, default: int) -> int:
    if day is None:
        return default
    try:
        date = day if isinstance(day, dt.date) else dt.date.fromisoformat(day)
    except ValueError as error:
        raise InvalidInputError(f"{name} is {day!r}; give a date like 2024-11-01") from error
    return int(dt.datetime.combine(date, dt.time(), dt.UTC).timestamp()) * 1_000_000_000


def _name(paths: Paths) -> str:
    return str(paths) if isinstance(paths, (str, PathLike)) else ", ".join(str(p) for p in paths)
