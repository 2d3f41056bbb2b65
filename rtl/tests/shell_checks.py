"""Checks of the card shell, run inside the simulator by cocotb; AXI4-Lite is driven by cocotbext-axi.

Started by tests/rtl/test_shell.py, which verilates the card and passes the folder of its build in CALIBRIG_BUILD.
"""

from __future__ import annotations

import itertools
import os
import random
import struct
import zlib
from pathlib import Path

import cocotb
import msgspec
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, ReadOnly, RisingEdge, with_timeout
from cocotbext.axi import AxiLiteBus, AxiLiteMaster

from calibrig.models.signal import evaluate_quantised
from calibrig.parameters import SignalModel
from calibrig.rtl import make_vectors, read_manifest
from calibrig.rtl.lines import checksum_holds, make_requests

FOLDER = Path(os.environ["CALIBRIG_BUILD"])
MODEL = msgspec.json.decode((FOLDER / "model.json").read_bytes(), type=SignalModel)
MANIFEST = read_manifest(FOLDER)
REPLY_ADDRESS = 0x1234_5678_9ABC_DE40
HANG, SLOW, SEQUENCE, STALE, ONES, ZEROS, FLIP, TORN, DUPLICATE, WRONG_MODEL, RANGE, ARITHMETIC = range(1, 13)
VECTORS = make_vectors(MODEL, 400, seed=11)
ANSWERS = evaluate_quantised(MODEL, VECTORS)


class Bench:
    """The card with its clock running and its reset done."""

    def __init__(self, dut) -> None:
        self.dut = dut
        self.axi = AxiLiteMaster(
            AxiLiteBus.from_prefix(dut, "s_axil"), dut.clk, dut.resetn, reset_active_level=False
        )
        self.sequence = itertools.count(1)

    async def start(self) -> None:
        dut = self.dut
        cocotb.start_soon(Clock(dut.clk, 10, unit="ns").start())
        dut.s_line_valid.value = 0
        dut.s_line_data.value = 0
        dut.m_line_ready.value = 1
        await self.reset()

    async def reset(self) -> None:
        self.dut.resetn.value = 0
        await self.clocks(3)
        self.dut.resetn.value = 1
        await self.clocks(2)

    async def clocks(self, n: int) -> None:
        for _ in range(n):
            await RisingEdge(self.dut.clk)
        await FallingEdge(self.dut.clk)

    async def read(self, offset: int) -> int:
        return await self.axi.read_dword(offset)

    async def write(self, offset: int, value: int) -> None:
        await self.axi.write_dword(offset, value)

    async def enable(self) -> None:
        await self.write(0x080, REPLY_ADDRESS & 0xFFFFFFFF)
        await self.write(0x084, REPLY_ADDRESS >> 32)
        await self.write(0x088, 1)

    def request(self, row: int, **changes) -> tuple[int, bytes]:
        """Return sequence and line; ``changes`` are fields set before the checksum."""
        sequence = next(self.sequence)
        line = make_requests(VECTORS[row : row + 1], MODEL.model_id, first_sequence=sequence)
        for name, value in changes.items():
            line[name] = value
        line["crc"] = zlib.crc32(line.tobytes()[:60])
        return sequence, line.tobytes()

    async def give(self, line: bytes) -> None:
        """Offer a request line until the card takes it."""
        self.dut.s_line_data.value = int.from_bytes(line, "little")
        self.dut.s_line_valid.value = 1
        while True:
            await ReadOnly()
            taken = int(self.dut.s_line_ready.value)
            await RisingEdge(self.dut.clk)
            if taken:
                break
            await FallingEdge(self.dut.clk)
        await FallingEdge(self.dut.clk)
        self.dut.s_line_valid.value = 0

    async def take(self, patience: int = 200) -> bytes | None:
        """Return the next reply line that is posted, or None."""
        for _ in range(patience):
            await ReadOnly()
            if int(self.dut.m_line_valid.value) and int(self.dut.m_line_ready.value):
                line = int(self.dut.m_line_data.value).to_bytes(64, "little")
                assert int(self.dut.m_line_address.value) == REPLY_ADDRESS
                await FallingEdge(self.dut.clk)
                return line
            await FallingEdge(self.dut.clk)
        return None

    async def ask(self, row: int, patience: int = 200, **changes) -> tuple[int, bytes | None]:
        sequence, line = self.request(row, **changes)
        await self.give(line)
        return sequence, await self.take(patience)


def fields(reply: bytes) -> dict[str, int]:
    names = ("sequence", "value", "cycles", "model_id", "status", "pad", "crc")
    return dict(zip(names, struct.unpack_from("<QiIIHHI", reply), strict=True))


def assert_good(reply: bytes | None, sequence: int, row: int, cycles: int = MANIFEST.card_cycles) -> None:
    assert reply is not None
    got = fields(reply)
    assert got["sequence"] == sequence
    assert got["value"] == ANSWERS[row]
    assert got["cycles"] == cycles
    assert got["model_id"] == MODEL.model_id
    assert (got["status"], got["pad"]) == (0, 0)
    assert checksum_holds(reply)
    assert reply[28:] == bytes(36)


async def opened(dut) -> Bench:
    bench = Bench(dut)
    await bench.start()
    return bench


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def identity_and_counters(dut):
    bench = await opened(dut)
    assert await bench.read(0x100) == 0x43414C42
    assert await bench.read(0x104) == 1
    assert await bench.read(0x108) == MODEL.model_id
    assert await bench.read(0x10C) == MANIFEST.build_id
    assert await bench.read(0x118) == MANIFEST.clock_hz
    assert await bench.read(0x124) == 3
    first = await bench.read(0x110)
    await bench.clocks(100)
    low = await bench.read(0x110)
    assert 100 <= low - first <= 120
    assert await bench.read(0x114) == 0
    assert await bench.read(0x11C) == await bench.read(0x120) == 0


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def reset_values_and_read_only_registers(dut):
    bench = await opened(dut)
    for offset in range(0, 0x200, 4):
        before = await bench.read(offset)
        if offset in {0x010, 0x014, 0x080, 0x084, 0x000, 0x004, 0x008, 0x00C, 0x088, 0x1F0, 0x110} or (
            0x018 <= offset < 0x038
        ):
            assert before == {0x000: 4}.get(offset, before if offset == 0x110 else 0)
            continue
        await bench.write(offset, 0xFFFFFFFF)
        assert await bench.read(offset) == before, hex(offset)
    for offset in (0x200, 0x3FC, 0xFFC):
        assert await bench.read(offset) == 0


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def writable_registers_hold_bytes(dut):
    bench = await opened(dut)
    rng = random.Random(1)
    offsets = [0x010, 0x014, 0x080, 0x084, *range(0x018, 0x038, 4)]
    image = dict.fromkeys(offsets, 0)
    for _ in range(200):
        offset, byte, value = rng.choice(offsets), rng.randrange(4), rng.randrange(256)
        await bench.axi.write_byte(offset + byte, value)
        image[offset] = image[offset] & ~(0xFF << 8 * byte) | value << 8 * byte
    for offset in offsets:
        assert await bench.read(offset) == image[offset]
    for offset in (0x000, 0x004, 0x008, 0x00C, 0x088):  # their bits stand in the lowest byte
        before = await bench.read(offset)
        await bench.axi.write_byte(offset + 1, 0xFF)
        assert await bench.read(offset) == before


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def ap_ctrl_hs_semantics(dut):
    bench = await opened(dut)
    for row in (0, 3, 60, 200):
        raw = VECTORS[row].astype("<i2").tobytes()
        for word in range(8):
            await bench.write(0x018 + 4 * word, int.from_bytes(raw[4 * word : 4 * word + 4], "little"))
        await bench.write(0x010, row)
        await bench.write(0x014, 7)
        await bench.write(0x000, 1)
        await bench.clocks(20)
        assert await bench.read(0x000) == 0b1110  # ready, idle, done; start cleared itself
        assert await bench.read(0x000) == 0b0100  # done and ready clear on read
        assert await bench.read(0x040) == int(ANSWERS[row]) & 0xFFFFFFFF
        assert await bench.read(0x044) == MANIFEST.card_cycles
        assert await bench.read(0x048) == row
        assert await bench.read(0x04C) == 7
        assert await bench.read(0x050) == 0
        body = struct.pack("<QiIIHH", 7 << 32 | row, ANSWERS[row], MANIFEST.card_cycles, MODEL.model_id, 0, 0)
        assert await bench.read(0x054) == zlib.crc32(body)
    assert await bench.read(0x11C) == 4
    assert not int(dut.m_line_valid.value)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def interrupts(dut):
    bench = await opened(dut)

    async def run() -> None:
        await bench.write(0x000, 1)
        await bench.clocks(20)

    await run()
    assert await bench.read(0x00C) == 0  # nothing enabled, nothing latched
    await bench.write(0x008, 1)
    await run()
    assert await bench.read(0x00C) == 1
    assert not int(dut.irq.value)  # the global enable is off
    await bench.write(0x004, 1)
    await bench.clocks(1)
    assert int(dut.irq.value)
    await bench.write(0x00C, 1)  # toggles
    await bench.clocks(1)
    assert not int(dut.irq.value)
    await bench.write(0x00C, 1)  # toggles back
    await bench.clocks(1)
    assert int(dut.irq.value)
    await bench.write(0x00C, 1)
    await bench.write(0x008, 3)
    await run()
    assert await bench.read(0x00C) == 3


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def descriptor_path_is_exact(dut):
    bench = await opened(dut)
    await bench.enable()
    for row in range(0, 400, 2):
        sequence, reply = await bench.ask(row)
        assert_good(reply, sequence, row)
    assert await bench.read(0x11C) == 200
    assert await bench.read(0x120) == 0
    assert await bench.read(0x040) == int(ANSWERS[398]) & 0xFFFFFFFF


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def a_disabled_path_drops_and_counts(dut):
    bench = await opened(dut)
    _, reply = await bench.ask(5, patience=40)
    assert reply is None
    assert await bench.read(0x120) == 1
    assert await bench.read(0x11C) == 0
    await bench.enable()
    sequence, reply = await bench.ask(5)
    assert_good(reply, sequence, 5)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def bad_requests_are_answered_with_a_status_and_no_value(dut):
    bench = await opened(dut)
    await bench.enable()
    sequence, line = bench.request(9)
    for bit in (0, 70, 150, 383, 420, 500):
        broken = (int.from_bytes(line, "little") ^ 1 << bit).to_bytes(64, "little")
        await bench.give(broken)
        got = fields(await bench.take())
        assert (got["status"], got["value"]) == (1, 0), bit
    sequence, reply = await bench.ask(9, model_id=MODEL.model_id ^ 1)
    got = fields(reply)
    assert (got["status"], got["value"], got["sequence"]) == (2, 0, sequence)
    reach = 1 << MODEL.feature_bits - 1
    if MODEL.feature_bits < 16:
        for value in (reach, -reach - 1, 32767, -32768):
            features = VECTORS[9].copy()
            features[15] = value
            _, reply = await bench.ask(9, features=features)
            got = fields(reply)
            assert (got["status"], got["value"]) == (3, 0), value
            assert checksum_holds(reply)
    errors = await bench.read(0x120)
    assert errors == (11 if MODEL.feature_bits < 16 else 7)
    sequence, reply = await bench.ask(9)
    assert_good(reply, sequence, 9)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def a_blocked_reply_waits_unchanged_and_blocks_the_next(dut):
    bench = await opened(dut)
    await bench.enable()
    rng = random.Random(2)
    for row in range(20):
        dut.m_line_ready.value = 0
        sequence, line = bench.request(row)
        await bench.give(line)
        while not int(dut.m_line_valid.value):
            await FallingEdge(dut.clk)
        held = int(dut.m_line_data.value)
        dut.s_line_valid.value = 1
        for _ in range(rng.randrange(1, 30)):
            await FallingEdge(dut.clk)
            assert int(dut.m_line_valid.value)
            assert int(dut.m_line_data.value) == held
            assert not int(dut.s_line_ready.value)
        dut.s_line_valid.value = 0
        await FallingEdge(dut.clk)
        dut.m_line_ready.value = 1
        assert_good(await bench.take(), sequence, row)
    assert await bench.read(0x11C) == 20


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def registers_survive_axi_back_pressure_while_lines_flow(dut):
    bench = await opened(dut)
    await bench.enable()
    rng = random.Random(3)
    for channel in (
        bench.axi.write_if.aw_channel,
        bench.axi.write_if.w_channel,
        bench.axi.write_if.b_channel,
        bench.axi.read_if.ar_channel,
        bench.axi.read_if.r_channel,
    ):
        seed = rng.random()
        source = random.Random(seed)
        channel.set_pause_generator(iter(lambda s=source: s.random() < 0.5, None))

    async def registers() -> None:
        for value in range(60):
            await bench.write(0x010, value)
            assert await bench.read(0x010) == value

    task = cocotb.start_soon(registers())
    for row in range(60):
        sequence, reply = await bench.ask(row)
        assert_good(reply, sequence, row)
    await with_timeout(task, 1, "ms")


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def both_paths_at_once_lose_nothing(dut):
    bench = await opened(dut)
    await bench.enable()

    async def by_register() -> None:
        for n in range(20):
            await bench.write(0x010, 1000 + n)
            await bench.write(0x000, 1)
            while not await bench.read(0x000) & 2:
                pass

    task = cocotb.start_soon(by_register())
    for row in range(100):
        sequence, reply = await bench.ask(row)
        assert_good(reply, sequence, row)
    await with_timeout(task, 1, "ms")
    assert await bench.read(0x11C) == 120


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def reset_in_flight_leaves_nothing_behind(dut):
    bench = await opened(dut)
    for clocks in range(MANIFEST.card_cycles + 3):
        await bench.enable()
        dut.m_line_ready.value = 0
        _, line = bench.request(7)
        await bench.give(line)
        if clocks:
            await bench.clocks(clocks)
        await bench.reset()
        dut.m_line_ready.value = 1
        assert await bench.take(patience=30) is None, clocks
        assert await bench.read(0x000) == 4
        assert await bench.read(0x11C) == await bench.read(0x088) == 0
        await bench.enable()
        sequence, reply = await bench.ask(8)
        assert_good(reply, sequence, 8)
        await bench.reset()


async def inject(bench: Bench, kind: int, *, count: int = 1, argument: int = 0) -> None:
    await bench.write(0x1F0, argument << 16 | count << 8 | kind)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def every_fault_does_what_it_says_and_ends(dut):
    bench = await opened(dut)
    await bench.enable()
    before, first = await bench.ask(1)
    assert_good(first, before, 1)
    expected = {
        HANG: lambda r, s: r is None,
        SEQUENCE: lambda r, s: fields(r)["sequence"] == s + 1 and checksum_holds(r),
        STALE: lambda r, s: fields(r)["sequence"] < s and checksum_holds(r),
        ONES: lambda r, s: r == b"\xff" * 64,
        ZEROS: lambda r, s: r == bytes(64),
        FLIP: lambda r, s: not checksum_holds(r),
        TORN: lambda r, s: fields(r)["sequence"] == s and not checksum_holds(r),
        WRONG_MODEL: lambda r, s: fields(r)["model_id"] == MODEL.model_id ^ 1 and checksum_holds(r),
        RANGE: lambda r, s: fields(r)["value"] == 2**31 - 1 and checksum_holds(r),
        ARITHMETIC: lambda r, s: fields(r)["value"] == ANSWERS[30] ^ 1 and checksum_holds(r),
    }
    for kind, holds in expected.items():
        for argument in (0, 77, 200) if kind == FLIP else (0,):
            sequence, reply = await bench.ask(20)  # the line that stale and torn answers are made of
            assert_good(reply, sequence, 20)
            await inject(bench, kind, argument=argument)
            sequence, reply = await bench.ask(30, patience=60)
            assert holds(reply, sequence), (kind, reply)
            assert await bench.read(0x1F0) & 0xFFFF == 0
            sequence, reply = await bench.ask(40)
            assert_good(reply, sequence, 40)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def slow_and_duplicate_answers(dut):
    bench = await opened(dut)
    await bench.enable()
    await inject(bench, SLOW, argument=100)
    sequence, reply = await bench.ask(30)
    assert reply is not None
    assert fields(reply)["sequence"] == sequence
    assert fields(reply)["cycles"] == 100
    assert fields(reply)["value"] == ANSWERS[30]
    assert fields(reply)["status"] == 0
    await inject(bench, DUPLICATE)
    sequence, reply = await bench.ask(31)
    assert_good(reply, sequence, 31)
    assert_good(await bench.take(20), sequence, 31)
    assert await bench.take(20) is None
    sequence, reply = await bench.ask(32)
    assert_good(reply, sequence, 32)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def faults_strike_as_often_as_asked(dut):
    bench = await opened(dut)
    await bench.enable()
    await inject(bench, HANG, count=3)
    for left in (3, 2, 1):
        assert await bench.read(0x1F0) >> 8 & 0xFF == left
        assert (await bench.ask(2, patience=40))[1] is None
    sequence, reply = await bench.ask(2)
    assert_good(reply, sequence, 2)
    await inject(bench, HANG, count=0)
    for _ in range(5):
        assert (await bench.ask(2, patience=40))[1] is None
    await inject(bench, 0)
    sequence, reply = await bench.ask(2)
    assert_good(reply, sequence, 2)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def random_traffic_keeps_every_answer(dut):
    bench = await opened(dut)
    await bench.enable()
    rng = np.random.default_rng(5)

    async def shake() -> None:
        while True:
            await FallingEdge(dut.clk)
            dut.m_line_ready.value = int(rng.random() < 0.4)

    shaking = cocotb.start_soon(shake())
    for row in rng.integers(0, len(VECTORS), 150):
        sequence, line = bench.request(int(row))
        await bench.give(line)
        reply = None
        while reply is None:
            await RisingEdge(dut.clk)
            if int(dut.m_line_valid.value) and int(dut.m_line_ready.value):
                reply = int(dut.m_line_data.value).to_bytes(64, "little")
        assert_good(reply, sequence, int(row))
        await FallingEdge(dut.clk)
    shaking.cancel()
