"""calibrig's own tick files: Parquet, one for trades and one for quotes, with the instrument in the metadata."""

from __future__ import annotations

import json
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl

from calibrig.errors import CalibrigError, FileFormatError, InvalidInputError
from calibrig.market.quality import compute_fingerprint
from calibrig.market.ticks import Int64Array, MarketData, Quotes, Trades
from calibrig.parameters import Instrument

__all__ = ["OWN_SUFFIX", "join_markets", "read_own_files", "write_market"]

OWN_SUFFIX = ".parquet"
_VERSION = "1"
_KEY = "calibrig"
_COLUMNS: dict[str, dict[str, Any]] = {
    "trades": {
        "time_ns": pl.Int64,
        "price_ticks": pl.Int64,
        "size_lots": pl.Int64,
        "side": pl.Int8,
        "id": pl.Int64,
        "sub_tick": pl.Float32,
        "local_time_ns": pl.Int64,
    },
    "quotes": {
        "time_ns": pl.Int64,
        "bid_ticks": pl.Int64,
        "bid_lots": pl.Int64,
        "ask_ticks": pl.Int64,
        "ask_lots": pl.Int64,
        "local_time_ns": pl.Int64,
    },
}
_OPTIONAL = {"sub_tick", "local_time_ns"}


def write_market(
    market: MarketData, folder: str | PathLike[str], *, name: str | None = None
) -> tuple[Path, Path]:
    """Write ``<name>.trades.parquet`` and ``<name>.quotes.parquet``; ``read_market`` reads them back unchanged.

    Each file is written beside its place and moved there when it is whole.

    Parameters
    ----------
    market : MarketData
    folder : path
        Made if it is not there.
    name : str, optional
        By default the symbol in lower case.

    Returns
    -------
    tuple of Path

    Raises
    ------
    CalibrigError
        A file cannot be written (rights, disk full); nothing half-written stays.

    Examples
    --------
    >>> import tempfile
    >>> from calibrig.market import read_market, simulate_market, write_market
    >>> market = simulate_market(seed=1, sessions=1, session_s=60.0).market
    >>> folder = tempfile.mkdtemp()
    >>> [path.name for path in write_market(market, folder)]
    ['sim.trades.parquet', 'sim.quotes.parquet']
    >>> len(read_market(folder).market.trades) == len(market.trades)
    True
    """
    stem = name if name is not None else market.instrument.symbol.lower()
    if not stem or "/" in stem or stem.startswith("."):
        raise InvalidInputError(f"name is {stem!r}; give a plain file name")
    fingerprint = compute_fingerprint(market)
    return (
        _write(market, "trades", Path(folder) / f"{stem}.trades{OWN_SUFFIX}", fingerprint),
        _write(market, "quotes", Path(folder) / f"{stem}.quotes{OWN_SUFFIX}", fingerprint),
    )


def _write(market: MarketData, kind: str, path: Path, fingerprint: str) -> Path:
    ticks = market.trades if kind == "trades" else market.quotes
    data = {
        name: pl.Series(name, getattr(ticks, name), dtype=dtype)
        for name, dtype in _COLUMNS[kind].items()
        if getattr(ticks, name) is not None
    }
    about = {
        "version": _VERSION,
        "kind": kind,
        "instrument": msgspec.to_builtins(ticks.instrument),
        "sessions": ticks.sessions.tolist(),
        "resolution_ns": ticks.resolution_ns,
        "description": market.description,
        "fingerprint": fingerprint,
    }
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        pl.DataFrame(data).write_parquet(partial, metadata={_KEY: json.dumps(about)})
        partial.replace(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise CalibrigError(f"{path} cannot be written ({error}); check rights and free space") from error
    finally:
        partial.unlink(missing_ok=True)
    return path


def read_own_files(paths: Sequence[Path]) -> list[MarketData]:
    """Read such files; trades and quotes of one symbol that were written together are one market again."""
    found: dict[str, dict[str, tuple[Path, Trades | Quotes, str]]] = {}
    for path in paths:
        kind, ticks, about = _read(path)
        pair = found.setdefault(about["fingerprint"], {})
        if kind in pair:
            raise FileFormatError(f"{path} holds the same {kind} as {pair[kind][0]}; give one of them")
        pair[kind] = (path, ticks, about["description"])
    return [_pair(fingerprint, pair) for fingerprint, pair in found.items()]


def _pair(fingerprint: str, pair: dict[str, tuple[Path, Trades | Quotes, str]]) -> MarketData:
    path, any_ticks, description = next(iter(pair.values()))
    trades = pair["trades"][1] if "trades" in pair else _empty(Trades, any_ticks)
    quotes = pair["quotes"][1] if "quotes" in pair else _empty(Quotes, any_ticks)
    assert isinstance(trades, Trades)
    assert isinstance(quotes, Quotes)
    market = MarketData(trades=trades, quotes=quotes, description=description)
    if len(pair) == 2 and compute_fingerprint(market) != fingerprint:
        raise FileFormatError(
            f"{path}: the columns do not match the file's fingerprint; fetch or write it again"
        )
    return market


def _empty(form: type[Trades] | type[Quotes], like: Trades | Quotes) -> Trades | Quotes:
    kind = "trades" if form is Trades else "quotes"
    columns: dict[str, Any] = {name: [] for name in _COLUMNS[kind] if name not in _OPTIONAL}
    return form(
        **columns, sessions=like.sessions, resolution_ns=like.resolution_ns, instrument=like.instrument
    )


def _read(path: Path) -> tuple[str, Trades | Quotes, dict[str, Any]]:
    try:
        metadata = pl.read_parquet_metadata(path)
        about = json.loads(metadata.get(_KEY, "null"))
        if about is None:
            raise FileFormatError(
                f"{path} is a Parquet file but not one of calibrig's; read it with read_columns and a map of its columns"
            )
        if about["version"] != _VERSION:
            raise FileFormatError(
                f"{path} has version {about['version']} of the format, this release reads {_VERSION}; update calibrig"
            )
        frame = pl.read_parquet(path)
        kind: str = about["kind"]
        data = {
            name: frame[name].to_numpy()
            for name in _COLUMNS[kind]
            if name in frame.columns or name not in _OPTIONAL
        }
        form = Trades if kind == "trades" else Quotes
        ticks = form(
            **data,
            sessions=np.array(about["sessions"], np.int64).reshape(-1, 2),
            resolution_ns=about["resolution_ns"],
            instrument=msgspec.convert(about["instrument"], Instrument),
        )
    except (pl.exceptions.PolarsError, OSError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, CalibrigError):
            raise
        raise FileFormatError(f"{path} is damaged or cut off ({str(error)[:120]}); fetch it again") from error
    return kind, ticks, about


def join_markets(markets: Sequence[MarketData]) -> MarketData:
    """Put markets of one instrument whose sessions do not overlap into one, in time order."""
    ordered = sorted(markets, key=lambda m: int(m.sessions[0, 0]) if len(m.sessions) else 0)
    if len(ordered) == 1:
        return ordered[0]
    trades, quotes = [m.trades for m in ordered], [m.quotes for m in ordered]
    return MarketData(
        trades=_join(Trades, "trades", trades),
        quotes=_join(Quotes, "quotes", quotes),
        description=ordered[0].description,
    )


def _join(form: Any, kind: str, parts: Sequence[Trades | Quotes]) -> Any:
    columns: dict[str, Int64Array] = {}
    for name in _COLUMNS[kind]:
        values = [getattr(part, name) for part in parts]
        if all(value is not None for value in values):
            columns[name] = np.concatenate(values)
        elif name == "sub_tick":
            filled = [
                np.zeros(len(p.time_ns), np.float32) if v is None else v
                for p, v in zip(parts, values, strict=True)
            ]
            columns[name] = np.concatenate(filled)
    return form(
        **columns,
        sessions=np.concatenate([part.sessions for part in parts]),
        resolution_ns=max(part.resolution_ns for part in parts),
        instrument=parts[0].instrument,
    )
