"""Which reader understands a text: the table of formats, asked in turn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from calibrig.errors import FileFormatError
from calibrig.market.binance_capture import read_binance_capture, recognise_binance_capture
from calibrig.market.binance_dumps import read_binance_dump, recognise_binance_dump
from calibrig.market.bitstamp import read_bitstamp, recognise_bitstamp
from calibrig.market.files import SourceFile
from calibrig.market.lean import read_lean_equity, recognise_lean_equity
from calibrig.market.lean_futures import read_lean_futures, recognise_lean_futures
from calibrig.market.lean_plain import read_lean_plain, recognise_lean_plain
from calibrig.market.lobster import read_lobster, recognise_lobster
from calibrig.market.raw import RawTicks
from calibrig.market.rows import first_row
from calibrig.market.tardis import read_tardis, recognise_tardis

__all__ = ["FORMATS", "Format", "read_source"]


class _Reader(Protocol):
    def __call__(self, source: SourceFile, text: bytes, *, skip_bad_rows: bool = ...) -> list[RawTicks]: ...


@dataclass(frozen=True, slots=True)
class Format:
    """One format: how it is told, and its reader."""

    name: str
    recognise: Callable[[SourceFile, str], bool]
    read: _Reader


FORMATS = (
    Format("LEAN equity ticks", recognise_lean_equity, read_lean_equity),
    Format("LEAN futures ticks", recognise_lean_futures, read_lean_futures),
    Format("LEAN decimal ticks", recognise_lean_plain, read_lean_plain),
    Format("Binance websocket capture", recognise_binance_capture, read_binance_capture),
    Format("Binance public dumps", recognise_binance_dump, read_binance_dump),
    Format("Tardis", recognise_tardis, read_tardis),
    Format("LOBSTER", recognise_lobster, read_lobster),
    Format("Bitstamp L3", recognise_bitstamp, read_bitstamp),
)


def read_source(source: SourceFile, *, skip_bad_rows: bool = False) -> list[RawTicks]:
    """Read one text with the reader that recognises it.

    Raises
    ------
    FileFormatError
        No reader recognises it, or a row cannot be read.
    """
    text = source.read_bytes()
    first_line = first_row(text)
    for candidate in FORMATS:
        if candidate.recognise(source, first_line):
            return candidate.read(source, text, skip_bad_rows=skip_bad_rows)
    known = ", ".join(f.name for f in FORMATS)
    raise FileFormatError(
        f"{source.label} row 1 ({first_line[:60]!r}) is of no format known here ({known}); check the name and the "
        "content, or read it with read_columns and a map of its columns"
    )
