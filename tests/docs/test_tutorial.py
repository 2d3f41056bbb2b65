"""The tutorial is what happens: its console examples run in order and end as it says, its Python prints what it shows."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "tutorial.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
# what differs from run to run: times, speeds, clock readings
_VARIES = re.compile(r"\d+\.\d+ s|at \d+\.\d+ M/s|\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ")

_FLOAT = re.compile(r"\d+\.\d+")


def blocks(language: str) -> list[str]:
    return [body for name, body in BLOCK.findall(PAGE.read_text("utf-8")) if name == language]


def words(text: str) -> list[str]:
    """Return the lines without what varies, floats to three digits (processors differ in the last ones)."""
    lines = (_VARIES.sub("*", line) for line in text.splitlines() if line.strip())
    return [" ".join(_FLOAT.sub(lambda m: f"{float(m.group()):.3g}", line).split()) for line in lines]


@pytest.mark.slow
def test_console_examples_run_in_order_and_print_what_is_shown(tmp_path: Path) -> None:
    environment = {**os.environ, "COLUMNS": "400"}
    ran = 0
    for block in blocks("console"):
        command, _, shown = block.partition("\n")
        assert command.startswith("$ calibrig ")
        arguments = shlex.split(command.removeprefix("$ calibrig "))
        if arguments == ["demo"]:
            arguments += ["--paths", "100"]  # the same figures but the position limit, sooner
        done = subprocess.run(
            [sys.executable, "-m", "calibrig.cli", *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        expected = re.search(r"^exit code (\d+)$", shown, re.MULTILINE)
        assert done.returncode == (int(expected.group(1)) if expected else 0), done.stderr
        said = set(words(done.stdout) + words(done.stderr))
        for line in words(re.sub(r"^exit code \d+$", "", shown, flags=re.MULTILINE)):
            if "profit" not in line:  # follows from the position limit
                assert line in said, (line, sorted(said))
        ran += 1
    assert ran == 5


def test_python_example_prints_what_is_shown() -> None:
    code = blocks("python")[0]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout in blocks("text")
