"""`calibrig run` on input that cannot be used: one sentence that names the file, exit code 2, nothing written."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from calibrig.cli.frame import run_command_line

TRADES = "".join(f"{34_200_000 + 1_000 * i},100100,300,P,1,0\n" for i in range(50))
QUOTES = "34199000,100000,500,0,0,P,1,0\n34199000,0,0,100100,200,P,1,0\n"


def write_day(folder: Path, trades: str = TRADES, quotes: str = QUOTES, day: str = "20131007") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for kind, rows in (("trade", trades), ("quote", quotes)):
        with zipfile.ZipFile(folder / f"{day}_{kind}.zip", "w") as archive:
            archive.writestr(f"{day}_acme_{kind}_Tick.csv", rows)
    return folder


def missing(folder: Path) -> Path:
    return folder / "nowhere.zip"


def empty_folder(folder: Path) -> Path:
    (folder / "acme").mkdir()
    return folder / "acme"


def empty_file(folder: Path) -> Path:
    path = folder / "20131007_trade.zip"
    path.write_bytes(b"")
    return path


def truncated(folder: Path) -> Path:
    path = write_day(folder / "acme") / "20131007_trade.zip"
    path.write_bytes(path.read_bytes()[:-40])
    return path.parent


def wrong_format(folder: Path) -> Path:
    path = folder / "notes.txt"
    path.write_text("this is no tick file\n")
    return path


def wrong_field(folder: Path) -> Path:
    return write_day(folder / "acme", trades=TRADES + "34300000,not a price,300,P,1,0\n")


def unsorted(folder: Path) -> Path:
    rows = TRADES.splitlines(keepends=True)
    return write_day(folder / "acme", trades="".join([*rows[10:], *rows[:10]]))


def only_trades(folder: Path) -> Path:
    path = write_day(folder / "acme")
    (path / "20131007_quote.zip").unlink()
    return path


def only_quotes(folder: Path) -> Path:
    path = write_day(folder / "acme")
    (path / "20131007_trade.zip").unlink()
    return path


def no_rows(folder: Path) -> Path:
    return write_day(folder / "acme", trades="", quotes="")


def damaged_capture(folder: Path) -> Path:
    path = folder / "usdm_btcusdt_20240808.gz"
    path.write_bytes(gzip.compress(b'1723161256313000000 {"stream": "btcusdt@trade", "data": \n' * 3))
    return path


BAD = (
    missing,
    empty_folder,
    empty_file,
    truncated,
    wrong_format,
    wrong_field,
    unsorted,
    only_trades,
    only_quotes,
    no_rows,
    damaged_capture,
)


@pytest.mark.parametrize("make", BAD, ids=lambda make: make.__name__)
def test_bad_input_is_one_sentence_and_leaves_nothing(make, tmp_path: Path, capsys) -> None:
    path, out = make(tmp_path), tmp_path / "out"
    code = run_command_line(["run", str(path), "--out", str(out)])
    captured = capsys.readouterr()
    assert code == 2, captured.err
    errors = [line for line in captured.err.splitlines() if line.startswith("calibrig: ")]
    assert len(errors) == 1, captured.err
    assert "internal error" not in captured.err
    assert captured.out == ""
    assert not out.exists()


@pytest.mark.parametrize(
    "options",
    [
        ["--seed", "-1"],
        ["--seed", "x"],
        ["--tick-size", "-0.01"],
        ["--lot-size", "0"],
        ["--symbol", "NOTHERE"],
    ],
    ids=" ".join,
)
def test_bad_options_are_one_sentence(options: list[str], tmp_path: Path, capsys) -> None:
    data = write_day(tmp_path / "acme")
    assert run_command_line(["run", str(data), "--out", str(tmp_path / "out"), *options]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_run_without_data_is_a_usage_error(capsys) -> None:
    assert run_command_line(["run"]) == 2
    assert "--help'" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, capsys) -> None:
    data = write_day(tmp_path / "acme")
    (tmp_path / "file").write_text("in the way")
    code = run_command_line(["run", str(data), "--out", str(tmp_path / "file" / "out")])
    error = capsys.readouterr().err
    assert code in {1, 2}
    assert "file" in error.splitlines()[-1]
    assert "internal error" not in error


def test_crossed_and_doubled_rows_are_reported_not_hidden(tmp_path: Path, capsys) -> None:
    crossed = QUOTES + "34210000,100300,500,0,0,P,1,0\n34220000,100000,500,0,0,P,1,0\n"
    data = write_day(tmp_path / "acme", trades=TRADES + TRADES.splitlines(keepends=True)[-1], quotes=crossed)
    code = run_command_line(["run", str(data), "--out", str(tmp_path / "out"), "--json"])
    captured = capsys.readouterr()
    assert code == 4, captured.err
    result = json.loads(captured.out)
    assert result["quality"]["crossed_share"] > 0
    assert result["models"]["hawkes"]["verdict"] == "TOO_FEW_EVENTS"
    assert result["exit_code"] == 4
    assert (tmp_path / "out" / "report.html").exists()


def test_json_on_stdout_progress_on_stderr(tmp_path: Path) -> None:
    data = write_day(tmp_path / "acme")
    done = subprocess.run(
        [sys.executable, "-m", "calibrig.cli", "run", str(data), "--out", str(tmp_path / "out"), "--json"],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 4, done.stderr
    assert json.loads(done.stdout) == json.loads((tmp_path / "out" / "result.json").read_text("utf-8"))
    lines = done.stderr.splitlines()
    assert lines[0].startswith("[1/")
    assert "read:" in lines[0]
    assert "\x1b" not in done.stderr


def test_a_full_disk_is_named_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    """On a real file system of 64 kB: the store or the report cannot be written."""
    small = tmp_path / "small"
    small.mkdir()
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(small)], capture_output=True, check=False
    )
    if mount.returncode != 0:
        pytest.skip("a size-limited tmpfs needs the right to mount; the injected ENOSPC is tested elsewhere")
    try:
        data = write_day(tmp_path / "acme")
        done = subprocess.run(
            [sys.executable, "-m", "calibrig.cli", "run", str(data), "--out", str(small / "out")],
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == 1, done.stderr
        last = done.stderr.splitlines()[-1]
        assert last.startswith("calibrig: ")
        assert "full" in last or "no space" in last.lower()
        assert "Traceback" not in done.stderr
        left = {path.name for path in (small / "out").iterdir()} if (small / "out").exists() else set()
        assert not {name for name in left if name.startswith("report") or name.endswith(".part")}
    finally:
        subprocess.run(["umount", str(small)], check=False)
        assert not os.path.ismount(small)
