"""The shell's checksums. CRC-32 is affine, so zero and the unit vectors fix it: the check is exhaustive."""

from __future__ import annotations

import re
import zlib

import pytest

from calibrig.rtl.checksum import PARTS, render_checksums
from calibrig.rtl.tools import shell_folder


def test_the_file_of_the_shell_is_what_the_generator_writes() -> None:
    assert (shell_folder() / "calibrig_crc32.sv").read_text() == render_checksums()


def parse(name: str) -> list[tuple[int, int]]:
    """Mask and constant of each bit of one function, from its text."""
    text = render_checksums()
    body = text[text.index(f" {name}(") :].split("endfunction")[0]
    found = re.findall(rf"{name}\[(\d+)\] = \^\(data & \d+'h([0-9a-f]+)\) \^ 1'b([01]);", body)
    assert [int(bit) for bit, _, _ in found] == list(range(32))
    return [(int(mask, 16), int(constant)) for _, mask, constant in found]


@pytest.mark.parametrize("n_bytes", [24, 60])
def test_the_parts_add_up_to_zlibs_crc32_on_every_unit_vector(n_bytes: int) -> None:
    parts = [(parse(name), first, n) for name, (size, first, n) in PARTS.items() if size == n_bytes]
    assert min((first, first + n) for _, first, n in parts)[0] == 0
    assert sum(n for _, _, n in parts) == 8 * n_bytes

    def compute(data: int) -> int:
        total = 0
        for masks, first, n in parts:
            piece = data >> first & (1 << n) - 1
            total ^= sum(
                ((piece & mask).bit_count() & 1 ^ one) << bit for bit, (mask, one) in enumerate(masks)
            )
        return total

    for bit in [None, *range(8 * n_bytes)]:
        data = 0 if bit is None else 1 << bit
        assert compute(data) == zlib.crc32(data.to_bytes(n_bytes, "little"))
