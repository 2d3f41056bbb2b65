"""The native bridge, plain and under sanitizers."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from native_build import build, run


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
