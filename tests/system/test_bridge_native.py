"""The native bridge under sanitizers, the baseline kernels on an emulated old processor, AVX-512 on one without it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NATIVE = ROOT / "native"
SETS = {
    "baseline": [],
    "avx2": ["-mavx2", "-mfma", "-mbmi", "-mbmi2", "-mlzcnt", "-mpopcnt"],
    "avx512": ["-mavx2", "-mfma", "-mbmi", "-mbmi2", "-mlzcnt", "-mpopcnt", "-mavx512f", "-mavx512dq", "-mavx512bw",
               "-mavx512vl", "-mavx512vnni"],
}  # fmt: skip
COMMON = ["-std=c++20", "-ffp-contract=off", "-Wall", "-Wextra", "-Werror", "-pthread", f"-I{NATIVE}"]


def run(*command: str, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False, env=env)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    return done.stdout


def build(folder: Path, source: str, flags: list[str], sets: dict[str, list[str]] = SETS) -> str:
    """Compile a C++ test with the kernels of every instruction set."""
    compiler = shutil.which("g++") or shutil.which("c++")
    if compiler is None:
        pytest.skip("needs g++")
    objects = []
    for name, isa_flags in sets.items():
        objects.append(str(folder / f"signal_{name}.o"))
        define = [f"-DCALIBRIG_ISA=isa_{name}", f"-DCALIBRIG_ISA_{name}=1"]
        # g++ 12 warns about its own intrinsics when it does not optimise much.
        quiet = ["-Wno-uninitialized", "-Wno-maybe-uninitialized"]
        source_file = str(NATIVE / "isa/signal.cpp")
        run(compiler, *COMMON, *quiet, *flags, *isa_flags, *define, "-c", source_file, "-o", objects[-1])
    program = str(folder / "program")
    run(compiler, *COMMON, *flags, str(ROOT / "tests/cpp" / source), *objects, "-o", program)
    return program


@pytest.mark.system
def test_native_bridge(tmp_path: Path) -> None:
    assert run(build(tmp_path, "bridge_test.cpp", ["-O1"])) == "ok\n"


@pytest.mark.system
@pytest.mark.parametrize(
    "flags", [["-fsanitize=address,undefined", "-fno-sanitize-recover=all"], ["-fsanitize=thread"]]
)
def test_native_bridge_under_sanitizers(tmp_path: Path, flags: list[str]) -> None:
    program = build(tmp_path, "bridge_test.cpp", ["-O1", "-g", *flags])
    # ThreadSanitizer cannot map its shadow where the kernel randomises addresses widely.
    fixed = [shutil.which("setarch") or "", "-R"] if "thread" in flags[0] and shutil.which("setarch") else []
    assert run(*fixed, program) == "ok\n"


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
    """Their intrinsics are carried out by SIMDe, so the kernels are proven where no AVX-512 is."""
    if not Path("/usr/include/simde/x86/avx512.h").exists():
        pytest.skip("needs SIMDe (Debian: libsimde-dev)")
    portable = [*SETS["avx2"], f"-I{ROOT / 'tests/cpp/portable'}"]
    program = build(tmp_path, "signal_vectors.cpp", ["-O1"], {**SETS, "avx512": portable})
    expected = run(program, "baseline").splitlines()
    found = run(program, "avx512").splitlines()
    assert found[0] == "avx512"
    assert len(expected) == 4
    assert found[1:] == expected[1:]
