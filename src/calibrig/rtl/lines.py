"""The 64-byte request and reply lines of card ABI version 1, as NumPy records."""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

__all__ = ["LINE_BYTES", "REPLY", "REQUEST", "checksum_holds", "make_requests"]

LINE_BYTES = 64
REQUEST = np.dtype(
    [
        ("sequence", "<u8"),
        ("model_id", "<u4"),
        ("flags", "<u4"),
        ("features", "<i2", (16,)),
        ("reserved", "V12"),
        ("crc", "<u4"),
    ]
)
REPLY = np.dtype(
    [
        ("sequence", "<u8"),
        ("value", "<i4"),
        ("cycles", "<u4"),
        ("model_id", "<u4"),
        ("status", "<u2"),
        ("pad", "<u2"),
        ("crc", "<u4"),
        ("zeros", "V36"),
    ]
)


def make_requests(
    quantised: NDArray[np.int16], model_id: int, *, first_sequence: int = 1
) -> NDArray[np.void]:
    """Make one request line per row.

    Parameters
    ----------
    quantised : ndarray of int16, shape (n, 16)
        Integer features.
    model_id : int
        Of the model that is to answer.
    first_sequence : int
        The first line's; the others follow.

    Returns
    -------
    structured array of `REQUEST`, shape (n,)

    Examples
    --------
    >>> line = make_requests(np.zeros((1, 16), np.int16), 7)[0]
    >>> len(line.tobytes()), int(line["model_id"])
    (64, 7)
    """
    rows = np.atleast_2d(np.asarray(quantised, dtype=np.int16))
    lines = np.zeros(len(rows), dtype=REQUEST)
    lines["sequence"] = np.arange(first_sequence, first_sequence + len(rows), dtype=np.uint64)
    lines["model_id"] = model_id
    lines["features"] = rows
    raw = lines.view(np.uint8).reshape(len(rows), LINE_BYTES)
    lines["crc"] = [zlib.crc32(row[:60].tobytes()) for row in raw]
    return lines


def checksum_holds(reply: bytes) -> bool:
    """Whether a reply line's CRC-32 is that of its first 24 bytes.

    Examples
    --------
    >>> checksum_holds(bytes(64))
    False
    """
    return zlib.crc32(reply[:24]) == int.from_bytes(reply[24:28], "little")
