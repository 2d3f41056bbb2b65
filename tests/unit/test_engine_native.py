"""The engine's headers from C++ alone, under the sanitizers: no data race, no bad access, no undefined behaviour."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "tests" / "native" / "engine_threads.cpp"


@pytest.mark.slow
@pytest.mark.parametrize("sanitizers", ["thread", "address,undefined"])
def test_publish_and_kill_from_another_thread_are_clean(sanitizers: str, tmp_path: Path) -> None:
    compiler = shutil.which("c++") or shutil.which("g++")
    if compiler is None or not (ROOT / "native" / "replay.hpp").exists():
        pytest.skip("needs a C++ compiler and the source tree")
    program = tmp_path / "engine_threads"
    command = [compiler, "-std=c++20", "-O1", "-g", "-Wall", "-Wextra", "-ffp-contract=off", "-pthread"]
    command += [f"-fsanitize={sanitizers}", "-fno-sanitize-recover=all", f"-I{ROOT / 'native'}"]
    built = subprocess.run(
        [*command, str(SOURCE), "-o", str(program)],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    if "cannot find -l" in built.stderr or "unrecognized argument" in built.stderr:
        pytest.skip(f"the compiler has no {sanitizers} sanitizer")
    assert built.returncode == 0, built.stderr
    assert "warning" not in built.stderr, built.stderr
    done = subprocess.run(
        [str(program)], capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
    )
    if "unexpected memory mapping" in done.stderr:
        pytest.skip("this kernel's address layout is not one ThreadSanitizer knows")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "updates" in done.stdout
    assert "WARNING: ThreadSanitizer" not in done.stderr
