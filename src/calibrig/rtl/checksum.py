"""CRC-32 as parity masks: one clock, whatever the length, and proven by its unit vectors."""

from __future__ import annotations

import zlib
from types import MappingProxyType

__all__ = ["PARTS", "checksum_masks", "render_checksums"]


def checksum_masks(n_bytes: int, *, first_bit: int = 0, n_bits: int | None = None) -> tuple[list[int], int]:
    """Return the 32 parity masks and the constant of CRC-32 over ``n_bytes`` bytes.

    Bit b of the checksum is the parity of ``data & masks[b]``, exclusive-or bit b of the constant: CRC-32 is affine
    in the bits of the data, so its value at zero and at each unit vector fixes it completely.

    Parameters
    ----------
    n_bytes : int
        Length of the message; bit 8 k + j is bit j of byte k.
    first_bit, n_bits : int, optional
        Part of the message the masks are wanted for; all of it by default.

    Returns
    -------
    (list of int, int)
        Masks over the part, and the checksum of a message of zeros.

    Examples
    --------
    >>> masks, constant = checksum_masks(4)
    >>> word = 0x12345678
    >>> value = sum(((word & mask).bit_count() & 1) << bit for bit, mask in enumerate(masks)) ^ constant
    >>> value == zlib.crc32(word.to_bytes(4, "little"))
    True
    """
    count = 8 * n_bytes - first_bit if n_bits is None else n_bits
    constant = zlib.crc32(bytes(n_bytes))
    masks = [0] * 32
    for bit in range(count):
        response = zlib.crc32((1 << (first_bit + bit)).to_bytes(n_bytes, "little")) ^ constant
        for position in range(32):
            masks[position] |= (response >> position & 1) << bit
    return masks, constant


# name -> bytes of the message, first bit and number of bits of the part; a message's parts add up by exclusive-or.
PARTS = MappingProxyType(
    {
        **{f"request{k}": (60, 60 * k, 60) for k in range(8)},
        "reply_sequence": (24, 0, 64),
        "reply_value": (24, 64, 32),
        "reply_origin": (24, 96, 64),
        "reply_status": (24, 160, 32),
    }
)
"""Functions of the shell: each small enough for one clock and for one word of a simulator, added up in the next."""


def render_checksums() -> str:
    """Return the SystemVerilog package of the shell's checksum functions.

    Examples
    --------
    >>> render_checksums().count("endfunction")
    12
    """
    head = (
        "// CRC-32 (IEEE 802.3, reflected) of the request line's first 60 bytes and the reply line's first 24, in parts\n"
        "// that add up by exclusive-or. Written by calibrig.rtl.checksum; do not edit.\n"
    )
    functions = (_render(name, *part) for name, part in PARTS.items())
    return (
        head
        + "`default_nettype none\n\npackage calibrig_crc32;\n"
        + "\n".join(functions)
        + "endpackage\n\n`default_nettype wire\n"
    )


def _render(name: str, n_bytes: int, first_bit: int, width: int) -> str:
    masks, constant = checksum_masks(n_bytes, first_bit=first_bit, n_bits=width)
    constant = constant if first_bit == 0 else 0  # the first part carries it
    lines = [
        f"    function automatic logic [31:0] {name}(input logic [{width - 1}:0] data);",
        *(
            f"        {name}[{bit}] = ^(data & {width}'h{mask:0{width // 4}x}) ^ 1'b{constant >> bit & 1};"
            for bit, mask in enumerate(masks)
        ),
        "    endfunction",
        "",
    ]
    return "\n".join(lines)
