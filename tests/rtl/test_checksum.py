"""The shell's checksums. CRC-32 is affine, so zero and the unit vectors fix it: the check is exhaustive."""

from __future__ import annotations

import re
import zlib

import pytest

from calibrig.rtl.checksum import checksum_masks, render_checksums
from calibrig.rtl.tools import shell_folder


def test_the_file_of_the_shell_is_what_the_generator_writes() -> None:
    assert (shell_folder() / "calibrig_crc32.sv").read_text() == render_checksums()


@pytest.mark.parametrize("n_bytes", [24, 60])
def test_the_text_computes_zlibs_crc32_on_every_unit_vector(n_bytes: int) -> None:
    text = render_checksums()
    body = text[text.index(f"module calibrig_crc32_{n_bytes} ") :].split("endmodule")[0]
    found = re.findall(r"crc\[(\d+)\] = \^\(data & \d+'h([0-9a-f]+)\) \^ 1'b([01]);", body)
    assert [int(bit) for bit, _, _ in found] == list(range(32))

    def compute(data: int) -> int:
        parities = ((data & int(mask, 16)).bit_count() & 1 for _, mask, _ in found)
        return sum((p ^ int(found[bit][2])) << bit for bit, p in enumerate(parities))

    for bit in [None, *range(8 * n_bytes)]:
        data = 0 if bit is None else 1 << bit
        assert compute(data) == zlib.crc32(data.to_bytes(n_bytes, "little"))


def test_the_values_part_adds_to_the_rest() -> None:
    part, _ = checksum_masks(24, first_bit=64, n_bits=32)
    value, rest = 0x9E3779B9, bytes(range(8)) + bytes(4) + bytes(range(12, 24))
    whole = rest[:8] + value.to_bytes(4, "little") + rest[12:]
    of_value = sum(((value & mask).bit_count() & 1) << bit for bit, mask in enumerate(part))
    assert zlib.crc32(rest) ^ of_value == zlib.crc32(whole)
