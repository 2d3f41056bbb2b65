"""The frame of the command line: exit codes, one-sentence errors, --debug, Ctrl-C, broken pipes, lazy loading."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from calibrig import __version__, errors
from calibrig.cli import commands, frame


def run(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "calibrig.cli", *arguments],
        capture_output=True,
        check=False,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=120,
        **options,  # type: ignore[call-overload]
    )


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch):
    """Return a function that makes `calibrig config` raise an error or return a code."""

    def install(outcome: BaseException | int | None) -> None:
        def command() -> int | None:
            if isinstance(outcome, BaseException):
                raise outcome
            return outcome

        module = type(sys)("calibrig.cli.failing")
        module.command = command  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "calibrig.cli.failing", module)
        entry = commands.Command("calibrig.cli.failing", "Fail.")
        monkeypatch.setitem(commands.COMMANDS, "failing", entry)

    return install


def test_version_imports_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['calibrig', '--version']\n"
        "from calibrig.cli import main\nmain()\n"
        "heavy = {'numpy', 'polars', 'scipy', 'typer', 'rich', 'msgspec', 'click'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, f"calibrig {__version__}\n"), done.stderr


def test_help_names_every_command_without_loading_one() -> None:
    code = (
        "import sys; sys.argv = ['calibrig', '--help']\n"
        "from calibrig.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert end.code == 0\n"
        "assert not {'numpy', 'polars', 'scipy'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for name in commands.COMMANDS:
        assert f"  {name} " in done.stdout


def test_every_line_of_the_table_loads() -> None:
    for name, entry in commands.COMMANDS.items():
        app = commands.build_app(name)
        assert app(["--help"], standalone_mode=False) in {0, None}
        assert entry.help.endswith(".")


@pytest.mark.parametrize(
    "name", [name for name in errors.__all__ if name != "CalibrigError"], ids=lambda name: name
)
def test_each_error_ends_with_its_code(name: str, failing, capsys: pytest.CaptureFixture[str]) -> None:
    kind = getattr(errors, name)
    failing(kind("the spread is -1; it must be\nat least 0; give another file"))
    assert frame.run_command_line(["failing"]) == kind.exit_code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "calibrig: the spread is -1; it must be at least 0; give another file\n"


@pytest.mark.parametrize("code", [0, 1, 3, 4, 5, 75])
def test_a_command_may_return_its_code(code: int, failing) -> None:
    failing(code)
    assert frame.run_command_line(["failing"]) == code


def test_a_command_that_returns_nothing_is_ok(failing) -> None:
    failing(None)
    assert frame.run_command_line(["failing"]) == 0


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["nonsense"], "No such command 'nonsense'"),
        (["confg"], "config"),
        (["config", "show", "--nope"], "No such option"),
        (["config", "nope"], "No such command 'nope'"),
        (["--nope"], "No such option"),
    ],
)
def test_usage_errors_are_one_sentence(arguments: list[str], expected: str, capsys) -> None:
    assert frame.run_command_line(arguments) == 2
    error = capsys.readouterr().err
    assert expected in error
    assert error.startswith("calibrig: ")
    assert "--help'" in error
    assert error.count("\n") == 1


def test_no_arguments_show_the_help(capsys) -> None:
    assert frame.run_command_line([]) in {0, 2}
    captured = capsys.readouterr()
    assert "Usage: calibrig" in captured.out + captured.err


def test_ctrl_c_is_one_line(failing, capsys) -> None:
    failing(KeyboardInterrupt())
    assert frame.run_command_line(["failing"]) == 130
    error = capsys.readouterr().err
    assert error.startswith("calibrig: interrupted")
    assert error.count("\n") == 1


def test_ctrl_c_of_a_process(tmp_path: Path) -> None:
    script = tmp_path / "wait.py"
    script.write_text(
        "import sys, time\nfrom calibrig.cli import commands, frame\n"
        "module = type(sys)('waiting')\n"
        "def command():\n    print('ready', file=sys.stderr, flush=True)\n    time.sleep(60)\n"
        "module.command = command\nsys.modules['waiting'] = module\n"
        "commands.COMMANDS['wait'] = commands.Command('waiting', 'Wait.')\n"
        "sys.exit(frame.run_command_line(['wait']))\n"
    )
    process = subprocess.Popen([sys.executable, str(script)], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    assert process.stderr.readline() == "ready\n"
    time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    rest = process.communicate(timeout=30)[1]
    assert process.returncode == 130
    assert rest.count("\n") == 1
    assert "Traceback" not in rest


def test_full_disk_names_file_and_remedy(failing, capsys) -> None:
    failing(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "out/report.html"))
    assert frame.run_command_line(["failing"]) == 1
    assert capsys.readouterr().err == (
        "calibrig: no space left on the device while writing out/report.html; "
        "free some space or choose another folder with --out\n"
    )


def test_full_stdout_is_an_error() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full on this system")
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "calibrig.cli", "config", "show"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert "no space left" in done.stderr
    assert done.stderr.count("\n") == 1


def test_unexpected_error_hides_its_traceback_until_asked(failing, capsys) -> None:
    failing(RuntimeError("odd"))
    assert frame.run_command_line(["failing"]) == 1
    assert capsys.readouterr().err == (
        "calibrig: internal error, RuntimeError: odd; the same line with --debug shows where\n"
    )
    assert frame.run_command_line(["failing", "--debug"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_closed_pipe_is_quiet() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "calibrig.cli", "config", "show"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    error = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=60) in {0, 1}
    assert "Traceback" not in error
    assert "BrokenPipe" not in error


def test_config_show_as_json_and_as_text() -> None:
    done = run("config", "show", "--json")
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    assert shown["installation"]["calibrig"] == __version__
    assert shown["installation"]["instruction_set"] in {"baseline", "avx2", "avx512"}
    text = run("config", "show")
    assert "Installation" in text.stdout
    assert text.stderr == ""
