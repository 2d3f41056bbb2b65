"""docs/cli.md is what the commands say of themselves."""

from __future__ import annotations

from pathlib import Path

from calibrig.cli.commands import COMMANDS
from calibrig.cli.reference import render_reference

PAGE = Path(__file__).resolve().parents[2] / "docs" / "cli.md"


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text("utf-8") == render_reference(), (
        "docs/cli.md is not what the commands say; run: python -m calibrig.cli.reference > docs/cli.md"
    )


def test_every_command_and_option_says_what_it_does() -> None:
    text = render_reference()
    for name in COMMANDS:
        assert f"`calibrig {name}" in text
    for line in text.splitlines():
        if line.startswith("| `"):
            assert line.split("|")[3].strip(), line
