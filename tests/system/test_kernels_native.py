"""The kernels of every instruction set against each other, also on processors that lack one."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from native_build import ROOT, SETS, build, run


def portable_sets() -> dict[str, list[str]]:
    """Carry AVX-512 intrinsics out by SIMDe, so that those kernels are proven where no AVX-512 is."""
    if not Path("/usr/include/simde/x86/avx512.h").exists():
        pytest.skip("needs SIMDe (Debian: libsimde-dev)")
    return {**SETS, "avx512": [*SETS["avx2"], f"-I{ROOT / 'tests/cpp/portable'}"]}


@pytest.mark.system
def test_baseline_on_an_old_processor_gives_the_same_bits(tmp_path: Path) -> None:
    emulator = shutil.which("qemu-x86_64") or shutil.which("qemu-x86_64-static")
    if emulator is None:
        pytest.skip("needs qemu-user (qemu-x86_64)")
    program = build(tmp_path, "signal_vectors.cpp", ["-O2", "-static"])
    here = run(program).splitlines()
    old = run(emulator, "-cpu", "Nehalem", program).splitlines()
    assert old[0] == "baseline"
    assert old[1:] == here[1:]
    assert run(program, "baseline").splitlines()[1:] == here[1:]


@pytest.mark.system
def test_avx512_kernels_give_the_same_bits_on_any_processor(tmp_path: Path) -> None:
    program = build(tmp_path, "signal_vectors.cpp", ["-O1"], portable_sets())
    expected = run(program, "baseline").splitlines()
    found = run(program, "avx512").splitlines()
    assert found[0] == "avx512"
    assert len(expected) == 5
    assert found[1:] == expected[1:]


@pytest.mark.system
def test_hawkes_kernels_of_every_set_agree(tmp_path: Path) -> None:
    program = build(tmp_path, "hawkes_vectors.cpp", ["-O1"], portable_sets(), kernels="hawkes")
    expected = np.array(run(program, "baseline").split(), dtype=float)
    assert len(expected) > 4 * 4_000
    for name in ("avx2", "avx512"):
        found = np.array(run(program, name).split(), dtype=float)
        scale = np.maximum(np.abs(expected), 1.0)  # sums of many terms of either sign
        assert float(np.max(np.abs(found - expected) / scale)) < 1e-10
