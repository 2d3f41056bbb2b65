"""A whole store in one portable file: every version, byte for byte, with a checksum over all of it."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from calibrig.errors import CalibrigError, CorruptRecordError, FileFormatError, MissingFileError
from calibrig.store.backend import Stored
from calibrig.store.backends.system_errors import translate_os_error
from calibrig.store.record import GENESIS, Sealed, decode_content

__all__ = ["read_export", "write_export"]

_HEADER = b"calibrig-export 1\n"


def write_export(path: str | Path, history: Iterator[Stored]) -> int:
    """Write every version to ``path``, which appears complete or not at all; return how many."""
    target = Path(path)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    digest = hashlib.sha256(_HEADER)
    count = 0
    try:
        with temporary.open("xb") as file:
            file.write(_HEADER)
            for stored in history:
                line = stored.payload + b"\n"
                digest.update(line)
                file.write(line)
                count += 1
            file.write(f"end {count} {digest.hexdigest()}\n".encode())
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except OSError as error:
        if isinstance(error, CalibrigError):
            raise
        raise translate_os_error(error, target) from None
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
    return count


def _sealed(payload: bytes) -> Sealed:
    content, _ = decode_content(payload)
    return Sealed(
        kind=content.kind,
        symbol=content.symbol,
        version_id=content.version_id,
        updated_at=content.updated_at,
        updated_by=content.updated_by,
        comment=content.comment,
        origin=content.origin,
        previous_hash=content.previous_hash,
        hash=hashlib.sha256(payload).hexdigest(),
        payload=payload,
    )


def read_export(path: str | Path) -> list[Sealed]:
    """Read and check an export: its checksum, then every link of every chain.

    Raises
    ------
    FileFormatError
        If it is no export or was cut.
    CorruptRecordError
        If a version was changed.
    """
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        raise MissingFileError(f"there is no export at {path}") from None
    body, newline, last = data.rstrip(b"\n").rpartition(b"\n")
    words = last.split(b" ")
    if not data.startswith(_HEADER) or not newline or len(words) != 3 or words[0] != b"end":
        raise FileFormatError(f"{path} is no calibrig export, or its end is missing; export again")
    lines = (body + b"\n")[len(_HEADER) :].split(b"\n")[:-1]
    if words[1] != str(len(lines)).encode() or words[2] != hashlib.sha256(body + b"\n").hexdigest().encode():
        raise CorruptRecordError(f"{path} is not what was exported: its checksum differs; export again")
    records = [_sealed(line) for line in lines]
    heads: dict[tuple[str, str], tuple[int, str]] = {}
    for record in records:
        number, before = heads.get((record.kind, record.symbol), (0, GENESIS))
        if record.version_id != number + 1 or record.previous_hash != before:
            raise CorruptRecordError(
                f"{path}: {record.kind}/{record.symbol} version {record.version_id} does not follow version {number}"
            )
        heads[record.kind, record.symbol] = (record.version_id, record.hash)
    return records
