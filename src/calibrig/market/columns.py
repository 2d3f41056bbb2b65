"""Any CSV or Parquet file, with a map from calibrig's columns to the file's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from calibrig.errors import FileFormatError, InvalidInputError, InvalidTicksError, MissingFileError
from calibrig.market.binance_capture import scale_to_ns
from calibrig.market.files import SourceFile
from calibrig.market.raw import RawTicks, RawTrades, carry_forward, infer_step
from calibrig.market.rows import check_order, check_span, compute_day_sessions
from calibrig.market.ticks import Int64Array

__all__ = ["read_mapped_file"]

_DECIMALS = 8
_TRADE = ("time", "price", "size")
_QUOTE = ("time", "bid", "bid_size", "ask", "ask_size")
_OPTIONAL = ("side", "id")
_BUY = {"b", "buy", "buyer", "1", "+1", "true"}
_SELL = {"s", "sell", "seller", "-1", "false"}


def read_mapped_file(
    path: str | PathLike[str],
    columns: Mapping[str, str],
    *,
    symbol: str,
    time_zone: str = "UTC",
    separator: str = ",",
    skip_bad_rows: bool = False,
) -> RawTicks:
    """Read one CSV (also gz) or Parquet file whose columns the map names; see ``read_columns``."""
    file = Path(path)
    kind, wanted = _check_map(columns)
    frame = _read_frame(file, separator)
    missing = sorted({columns[name] for name in wanted} - set(frame.columns))
    if missing:
        raise FileFormatError(
            f"{file} has no column {', '.join(map(repr, missing))}; its columns are {_shown(frame.columns)}"
        )
    frame = frame.select([pl.col(columns[name]).alias(name) for name in wanted])
    source, counts = SourceFile(path=file), Counter(rows=frame.height)
    numbers, good = _to_numbers(source, frame, time_zone, skip_bad_rows=skip_bad_rows)
    if not good.all():
        counts["bad_rows"] += int(np.count_nonzero(~good))
        numbers = {name: column[good] for name, column in numbers.items()}
    time_ns, resolution_ns, unit = scale_to_ns(numbers["time"])
    check_span(source, time_ns)
    order = check_order(source, time_ns, counts, first_line=2, skip_bad_rows=skip_bad_rows)
    if order is not None:
        time_ns, numbers = time_ns[order], {name: column[order] for name, column in numbers.items()}
    prices = numbers["price"] if kind == "trades" else np.concatenate((numbers["bid"], numbers["ask"]))
    sizes = numbers["size" if kind == "trades" else "bid_size"]
    ticks = RawTicks(
        label=str(file),
        format="mapped columns",
        symbol=symbol.upper(),
        venue="",
        price_decimals=_DECIMALS,
        size_decimals=_DECIMALS,
        tick=-infer_step(prices),
        lot=-infer_step(sizes, power=True),
        resolution_ns=resolution_ns,
        time_unit=unit,
        sessions=compute_day_sessions(time_ns),
        counts=counts,
    )
    if kind == "quotes":
        ticks.quotes = carry_forward([time_ns, *(numbers[name] for name in _QUOTE[1:])], counts)
        return ticks
    usable = (numbers["price"] > 0) & (numbers["size"] > 0)
    counts["zero_size"] += int(np.count_nonzero(numbers["size"] == 0))
    counts["bad_prices"] += int(np.count_nonzero(~usable & (numbers["size"] != 0)))
    ticks.trades = RawTrades(
        time_ns=time_ns[usable],
        price=numbers["price"][usable],
        size=numbers["size"][usable],
        side=numbers["side"][usable].astype(np.int8) if "side" in numbers else None,
        id=numbers["id"][usable] if "id" in numbers else None,
    )
    return ticks


def _check_map(columns: Mapping[str, str]) -> tuple[str, tuple[str, ...]]:
    if set(_TRADE) <= set(columns) <= {*_TRADE, *_OPTIONAL}:
        return "trades", tuple(columns)
    if set(columns) == set(_QUOTE):
        return "quotes", _QUOTE
    raise InvalidInputError(
        f"columns maps {', '.join(sorted(columns)) or 'nothing'}; map time, price, size (and side, id) for trades, "
        "or time, bid, bid_size, ask, ask_size for quotes"
    )


def _read_frame(file: Path, separator: str) -> pl.DataFrame:
    if not file.is_file():
        raise MissingFileError(f"{file} is not there; check the path")
    try:
        if file.suffix.lower() in {".parquet", ".pq"}:
            return pl.read_parquet(file)
        text = SourceFile(path=file).read_bytes()
        _check_widths(file, text, separator)
        return pl.read_csv(text, separator=separator, infer_schema_length=0)  # all text: exact decimals
    except (pl.exceptions.PolarsError, OSError, ValueError) as error:
        if isinstance(error, (FileFormatError, MissingFileError)):
            raise
        raise FileFormatError(
            f"{file} is not a readable table ({str(error).splitlines()[0][:120]}); check the file"
        ) from error


def _shown(names: list[str]) -> str:
    return ", ".join(" ".join(name.split())[:40] for name in names[:20])


def _check_widths(file: Path, text: bytes, separator: str) -> None:
    """Refuse the first line with another number of separators than the header (quoted text is left to polars)."""
    if b'"' in text:
        return
    lines = text.split(b"\n")
    mark = separator.encode()
    expected = lines[0].count(mark)
    for row, line in enumerate(lines, start=1):
        if line.count(mark) != expected and line.strip():
            raise FileFormatError(
                f"{file} row {row} has {line.count(mark) + 1} fields, the header has {expected + 1}; correct the row"
            )


def _to_numbers(
    source: SourceFile, frame: pl.DataFrame, time_zone: str, *, skip_bad_rows: bool
) -> tuple[dict[str, Int64Array], Any]:
    numbers: dict[str, Int64Array] = {}
    good = np.ones(frame.height, bool)
    for name in frame.columns:
        converted = _convert(frame[name], name, time_zone)
        valid = converted.is_not_null().to_numpy()
        if not valid.all() and not skip_bad_rows:
            row = int(np.argmin(valid))
            raise FileFormatError(
                f"{source.label} row {row + 2} field {name!r} ({frame[name][row]!r}) cannot be read; correct the row "
                "or pass skip_bad_rows=True to count and leave it out"
            )
        good &= valid
        numbers[name] = np.array(converted.fill_null(0).to_numpy(), dtype=np.int64)
    if not good.any():
        raise InvalidTicksError(f"{source.label} holds no row that can be read; check the map of columns")
    return numbers, good


def _convert(series: pl.Series, name: str, time_zone: str) -> pl.Series:
    if name == "time":
        return _convert_time(series, time_zone)
    if name == "side":
        words = series.cast(pl.String).str.strip_chars().str.to_lowercase()
        table = {**dict.fromkeys(_BUY, 1), **dict.fromkeys(_SELL, -1), "0": 0, "unknown": 0}
        return words.replace_strict(table, default=None, return_dtype=pl.Int64)
    if name == "id":
        return series.cast(pl.Int64, strict=False)
    number = series.str.strip_chars().cast(pl.Float64, strict=False) if series.dtype == pl.String else series
    number = number.cast(pl.Float64, strict=False)
    scaled = (number * 10.0**_DECIMALS).round()
    return scaled.set(~(scaled.abs() < 9e17), None).cast(pl.Int64, strict=False)


def _convert_time(series: pl.Series, time_zone: str) -> pl.Series:
    if series.dtype == pl.String:
        number = series.str.strip_chars().cast(pl.Int64, strict=False)
        if number.null_count() < len(series):
            return number
        try:
            series = series.str.to_datetime(time_unit="ns", strict=False, time_zone=None)
        except pl.exceptions.ComputeError:  # no text looks like a time
            return number
    if series.dtype.is_temporal():
        series = series.cast(pl.Datetime("ns", getattr(series.dtype, "time_zone", None)), strict=False)
        if getattr(series.dtype, "time_zone", None) is None:
            series = series.dt.replace_time_zone(time_zone, ambiguous="earliest", non_existent="null")
        return series.dt.timestamp("ns")
    return series.cast(pl.Int64, strict=False)
