"""The store's native block from C++ alone, plain and under sanitizers: no data race, no bad access."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "tests" / "cpp" / "store_block_test.cpp"
SANITIZERS = [[], ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"], ["-fsanitize=thread"]]


@pytest.mark.system
@pytest.mark.parametrize("flags", SANITIZERS, ids=["plain", "address", "thread"])
def test_store_block_under_sanitizers(tmp_path: Path, flags: list[str]) -> None:
    compiler = shutil.which("g++") or shutil.which("c++")
    if compiler is None:
        pytest.skip("needs g++")
    program = str(tmp_path / "program")
    command = [
        compiler,
        "-std=c++20",
        "-O1",
        "-g",
        "-ffp-contract=off",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-pthread",
    ]
    built = subprocess.run(
        [*command, *flags, f"-I{ROOT / 'native'}", str(SOURCE), "-o", program],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    # ThreadSanitizer cannot map its shadow where the kernel randomises addresses widely.
    fixed = [shutil.which("setarch") or "", "-R"] if flags[:1] == ["-fsanitize=thread"] else []
    done = subprocess.run([*fixed, program], capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stdout) == (0, "ok\n"), done.stderr[-4000:]
