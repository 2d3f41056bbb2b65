"""What the store commands share: the URL, the author, times, fields given as ``name=value``."""

from __future__ import annotations

import getpass
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from calibrig.errors import FileFormatError, InvalidInputError, MissingFileError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from calibrig.store import FieldChange, ModelStore

__all__ = [
    "ByOption",
    "CommentOption",
    "DryRunOption",
    "KeyOption",
    "StoreOption",
    "TrustOption",
    "YesOption",
    "agree",
    "author",
    "format_time",
    "open_store",
    "parse_time",
    "print_changes",
    "read_fields",
    "reason",
]

DEFAULT_URL = "sqlite:///calibrig.db"
StoreOption = Annotated[
    str,
    typer.Option(
        "--store",
        envvar="CALIBRIG_STORE",
        help="URL of the store: a .json path, sqlite:///..., redis://..., postgresql://... (passwords in the "
        "environment variable CALIBRIG_STORE or in ~/.pgpass, never here).",
    ),
]
ByOption = Annotated[str, typer.Option("--by", envvar="CALIBRIG_USER", help="Who; the login name otherwise.")]
CommentOption = Annotated[str, typer.Option("--comment", "-m", help="Why.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Show what would change, and write nothing.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask on a terminal.")]
KeyOption = Annotated[str, typer.Option("--key", envvar="CALIBRIG_KEY", help="Private key that signs.")]
TrustOption = Annotated[
    str, typer.Option("--trusted-keys", envvar="CALIBRIG_TRUSTED_KEYS", help="Folder of public keys.")
]


def open_store(
    url: str,
    *,
    create: bool = False,
    key: str = "",
    by: str = "",
    trusted: str = "",
    observation_days: float = 90.0,
) -> ModelStore:
    """Open the store that a command names; a store is made by ``init`` only."""
    from calibrig.store import ModelStore, TrustedKeys, load_signer
    from calibrig.store.urls import redact

    if url != os.environ.get("CALIBRIG_STORE") and redact(url) != url:
        raise InvalidInputError(
            "the URL on the command line holds a password, which others can read there; "
            "put the URL into the environment variable CALIBRIG_STORE"
        )
    passphrase = os.environ.get("CALIBRIG_KEY_PASSPHRASE", "").encode() or None
    signer = load_signer(key, name=author(by), passphrase=passphrase) if key else None
    keys = TrustedKeys(trusted) if trusted else None
    store = ModelStore(
        url, create=create, signer=signer, trusted_keys=keys, observation_days=observation_days
    )
    store.initialize()
    return store


def author(by: str) -> str:
    """Return who writes: what was said, or the login name."""
    return by.strip() or getpass.getuser()


def reason(comment: str) -> str:
    """Return why; ask for it on a terminal, refuse to guess elsewhere."""
    if comment.strip():
        return comment
    if sys.stdin.isatty() and sys.stderr.isatty():
        return str(typer.prompt("Why", err=True))
    raise InvalidInputError("there is no reason for this change; give one with --comment")


def agree(question: str, *, yes: bool) -> None:
    """Ask on a terminal; elsewhere, and with ``--yes``, go on."""
    if not yes and sys.stdin.isatty() and sys.stderr.isatty():
        typer.confirm(question, abort=True, err=True)


def parse_time(text: str) -> int | None:
    """Return nanoseconds for ``2026-11-01``, ``2026-11-01T12:00:00+01:00``, nanoseconds, or ``30d`` ago.

    Examples
    --------
    >>> parse_time("1970-01-02")
    86400000000000
    """
    if not text:
        return None
    try:
        if text[-1] in "dhm" and text[:-1].replace(".", "", 1).isdigit():
            unit = {"d": "days", "h": "hours", "m": "minutes"}[text[-1]]
            then = datetime.now(UTC) - timedelta(**{unit: float(text[:-1])})
        elif text.isdigit() and len(text) > 8:
            return int(text)
        else:
            then = datetime.fromisoformat(text)
            then = then if then.tzinfo else then.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise InvalidInputError(
            f"{text!r} is no time; give 2026-11-01, 2026-11-01T12:00:00+00:00, 30d, 12h or nanoseconds"
        ) from None
    return (then - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000


def format_time(time_ns: int) -> str:
    """Return a time for people: UTC, to the second.

    Examples
    --------
    >>> format_time(86_400_000_000_000)
    '1970-01-02 00:00:00Z'
    """
    return datetime.fromtimestamp(time_ns // 10**9, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def read_fields(assignments: Iterable[str], file: str) -> dict[str, Any]:
    """Return fields from ``name=value`` words (values are JSON) and from a JSON file."""
    import msgspec

    from calibrig.store.backends.json_document import parse_strictly

    fields: dict[str, Any] = {}
    if file:
        try:
            found = parse_strictly(sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes())
        except FileNotFoundError:
            raise MissingFileError(f"there is no file {file}") from None
        except OSError as error:
            raise InvalidInputError(f"{file} cannot be read ({error.strerror}); give a JSON file") from None
        except FileFormatError as error:
            raise FileFormatError(f"{file}: {error}") from None
        if not isinstance(found, dict):
            raise InvalidInputError(f"{file} holds no object of fields")
        fields.update({name: value for name, value in found.items() if name != "version"})
    given: set[str] = set()
    for word in assignments:
        name, separator, text = word.partition("=")
        if not separator or not name:
            raise InvalidInputError(f"{word!r:.80} is no field; give name=value, for example beta=0.5")
        if name in given:
            raise InvalidInputError(f"{name!r:.80} is given twice; give it once")
        given.add(name)
        try:
            fields[name] = msgspec.json.decode(text.encode())
        except (msgspec.DecodeError, UnicodeDecodeError):
            fields[name] = text
    if not fields:
        raise InvalidInputError("there is nothing to change; give name=value or --file")
    return fields


def print_changes(title: str, changes: Iterable[FieldChange]) -> None:
    """Print what changes, field by field."""
    from calibrig.cli.console import print_table

    rows = [
        (one.field, one.before, one.after, "" if one.relative is None else f"{one.relative:+.2%}")
        for one in changes
    ]
    print_table(title, ("field", "before", "after", "change"), rows)
