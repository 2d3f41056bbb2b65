"""Which backend a URL means, and how a URL is shown without its secrets."""

from __future__ import annotations

import importlib
import re
from collections.abc import Set
from pathlib import Path
from typing import cast
from urllib.parse import parse_qsl, urlencode

from calibrig.errors import InvalidInputError, MissingDependencyError
from calibrig.store.backend import Backend

__all__ = ["backend_kind", "file_path", "open_backend", "redact", "take_options"]

_SCHEMES = {
    "sqlite": "sqlite",
    "json": "json",
    "redis": "redis",
    "rediss": "redis",
    "valkey": "redis",
    "valkeys": "redis",
    "unix": "redis",
    "postgresql": "postgres",
    "postgres": "postgres",
}
_OPENERS = {
    "sqlite": ("calibrig.store.backends.sqlite", "SQLiteBackend", ""),
    "json": ("calibrig.store.backends.json_file", "JSONFileBackend", ""),
    "redis": ("calibrig.store.backends.redis", "RedisBackend", "redis"),
    "postgres": ("calibrig.store.backends.postgres", "PostgresBackend", "postgres"),
}
_SUFFIXES = {".json": "json", ".db": "sqlite", ".sqlite": "sqlite", ".sqlite3": "sqlite"}
_HELP = (
    "give ./name.json, sqlite:///name.db, redis://host:6379/0, rediss://..., unix:///path/to/redis.sock, "
    "or postgresql://host/database"
)


def backend_kind(url: str) -> str:
    """Return ``sqlite``, ``json``, ``redis`` or ``postgres``.

    Examples
    --------
    >>> backend_kind("./config/parameters.json"), backend_kind("postgresql://db:5432/params")
    ('json', 'postgres')
    """
    if not isinstance(url, str) or not url.strip() or "\0" in url or "\n" in url:
        raise InvalidInputError(f"the store's URL is {redact(str(url))!r}; {_HELP}")
    scheme, separator, _ = url.partition("://")
    kind = _SCHEMES.get(scheme.lower()) if separator else _SUFFIXES.get(Path(url).suffix.lower())
    if kind is None:
        raise InvalidInputError(f"the store's URL is {redact(url)!r}, which names no known backend; {_HELP}")
    return kind


def file_path(url: str) -> Path:
    """Return the path of a file URL: three slashes are relative, four absolute.

    Examples
    --------
    >>> file_path("sqlite:///calibrig.db").as_posix(), file_path("sqlite:////srv/a.db").as_posix()
    ('calibrig.db', '/srv/a.db')
    """
    _, separator, rest = url.partition("://")
    if not separator:
        return Path(url)
    if not rest.startswith("/") or rest == "/":
        raise InvalidInputError(
            f"the store's URL is {url!r}; give three slashes and a relative path, or four and an absolute one"
        )
    return Path(rest[1:])


def take_options(url: str, scheme: str, names: Set[str]) -> tuple[str, dict[str, str]]:
    """Split our own options from those of the client library, and give the URL the scheme that it knows.

    Examples
    --------
    >>> take_options("unix:///run/s?prefix=a&db=1", "unix", {"prefix"})
    ('unix:///run/s?db=1', {'prefix': 'a'})
    """
    _refuse_ambiguous(url, scheme)
    # not urlsplit: newer ones refuse PostgreSQL's list of hosts where one of them is an IPv6 address
    place, _, query = url.partition("://")[2].partition("#")[0].partition("?")
    pairs = parse_qsl(query, keep_blank_values=True)
    own = {name: value for name, value in pairs if name in names}
    query = urlencode([(name, value) for name, value in pairs if name not in own])
    return f"{scheme}://{place}{'?' if query else ''}{query}", own


def _refuse_ambiguous(url: str, scheme: str) -> None:
    """Refuse a password that a client would cut in two, take for a host or a port, and show when it cannot reach it."""
    rest = url.partition("://")[2]
    place = re.split(r"[/?#]", rest, maxsplit=1)[0]
    user, at, _ = place.rpartition("@")
    wrong = bool(re.search(r"%(?![0-9A-Fa-f]{2})", user)) or ("@" in user and scheme.startswith("postgres"))
    if not at and ":" in place:
        behind = rest[len(place) :]
        hosts = all(re.fullmatch(r"(\[[^\]]*\]|[^:\[\]]*)(:\d*)?", one) for one in place.split(","))
        wrong = wrong or "@" in behind.partition("?")[0] or ("@" in behind and not hosts)
    if wrong:
        raise InvalidInputError(
            f"the store's URL is {redact(url)!r}, whose user or password holds a character that has a meaning in a URL; "
            f"write / as %2F, ? as %3F, # as %23, @ as %40, % as %25"
        )


_SECRET = re.compile(r"(?i)(password|passwd|pass|pwd|sslpassword|token|secret)=([^&\s]*)")


def redact(text: str) -> str:
    """Return ``text`` with the passwords of any URL in it replaced by ``***``.

    Examples
    --------
    >>> redact("redis://trader:hunter2@cache:6379/0?password=x")
    'redis://trader:***@cache:6379/0?password=***'
    """
    text = _SECRET.sub(r"\1=***", text)
    return re.sub(r"(?<=://)([^\s/?#'\":@]*):([^\s'\"]*)@", r"\1:***@", text)


def open_backend(url: str, *, create: bool = True) -> Backend:
    """Open the backend that ``url`` names."""
    module, name, extra = _OPENERS[backend_kind(url)]
    try:
        opener = getattr(importlib.import_module(module), name)
    except ImportError as error:
        if not extra or (error.name or "").startswith("calibrig"):
            raise
        raise MissingDependencyError(
            f"a {extra} store needs a package that is not installed ({error.name}); "
            f"run: pip install 'calibrig[{extra}]'"
        ) from None
    return cast(Backend, opener(url, create=create))
