"""Build a C++ test with the kernels of every instruction set, and run it."""

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


def build(
    folder: Path, source: str, flags: list[str], sets: dict[str, list[str]] = SETS, *, kernels: str = "signal"
) -> str:
    """Compile a C++ test with the kernels of one model, for every instruction set."""
    compiler = shutil.which("g++") or shutil.which("c++")
    if compiler is None:
        pytest.skip("needs g++")
    objects = []
    for name, isa_flags in sets.items():
        objects.append(str(folder / f"{kernels}_{name}.o"))
        define = [f"-DCALIBRIG_ISA=isa_{name}", f"-DCALIBRIG_ISA_{name}=1"]
        # g++ 12 warns about its own intrinsics when it does not optimise much.
        quiet = ["-Wno-uninitialized", "-Wno-maybe-uninitialized"]
        source_file = str(NATIVE / f"isa/{kernels}.cpp")
        run(compiler, *COMMON, *quiet, *flags, *isa_flags, *define, "-c", source_file, "-o", objects[-1])
    program = str(folder / "program")
    run(compiler, *COMMON, *flags, str(ROOT / "tests/cpp" / source), *objects, "-o", program)
    return program
