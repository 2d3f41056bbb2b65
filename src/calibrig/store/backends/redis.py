"""Redis or Valkey: a shared cache with push; one script appends, opaque bytes only, and nothing waits for ever."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import redis

from calibrig.errors import (
    CalibrigError,
    CorruptRecordError,
    InvalidInputError,
    MissingFileError,
    RefusedError,
    StoreError,
    StoreUnavailableError,
    VersionConflictError,
)
from calibrig.store.backend import Heads, HistoryQuery, Stored
from calibrig.store.backends.redis_link import Link, RedisLinks, Word
from calibrig.store.backends.redis_observations import RedisObservations
from calibrig.store.observations import Observation, ObservationQuery
from calibrig.store.record import Content, Sealed, decode_content
from calibrig.store.urls import redact, take_options

__all__ = ["RedisBackend"]

SCHEMA = 1
_HEX = 64
_PAGE = 256
_LOG = logging.getLogger("calibrig.store")

# KEYS: store, changes, one list per record. ARGV: channel, then per record: field, version before, hash before,
# element; last, who publishes.
# A list holds the versions of one key; its length is the number of the head. Integers stay below 2^53: they count.
_APPEND = """
local number, last = {}, {}
for i = 3, #KEYS do
    local at = 1 + (i - 3) * 4
    local list = KEYS[i]
    if number[list] == nil then
        number[list] = redis.call('LLEN', list)
        local head = redis.call('LINDEX', list, -1)
        last[list] = head and string.sub(head, 1, 64) or ''
    end
    if number[list] ~= tonumber(ARGV[at + 2]) or (number[list] > 0 and last[list] ~= ARGV[at + 3]) then
        return {-1, i - 3, number[list]}
    end
    number[list] = number[list] + 1
    last[list] = string.sub(ARGV[at + 4], 1, 64)
end
local change = 0
for i = 3, #KEYS do
    local at = 1 + (i - 3) * 4
    redis.call('RPUSH', KEYS[i], ARGV[at + 4])
    change = redis.call('HINCRBY', KEYS[1], 'change', 1)
    redis.call('ZADD', KEYS[2], change, ARGV[at + 1])
end
redis.call('PUBLISH', ARGV[1], change .. ' ' .. ARGV[#ARGV])
return {change, 0, 0}
"""
# KEYS: store, changes. ARGV: change number, prefix of the lists.
_HEADS = """
local answer = {redis.call('HGET', KEYS[1], 'change') or '0', redis.call('HGET', KEYS[1], 'store_id') or ''}
for _, field in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. ARGV[1], '+inf')) do
    answer[#answer + 1] = redis.call('LINDEX', ARGV[2] .. field, -1) or ''
end
return answer
"""


class RedisBackend:
    """Versions in a Redis or Valkey server.

    Parameters
    ----------
    url : str
        ``redis://user:password@host:6379/0``, ``rediss://`` (TLS), ``unix:///path``. Options after ``?``:
        ``prefix=calibrig`` names the keys; ``allow=no-persistence`` accepts a server that keeps nothing.
    create : bool
        Make the store where there is none.
    """

    def __init__(self, url: str, *, create: bool = True) -> None:
        self._shown = redact(url)
        scheme = url.partition("://")[0].lower().replace("valkeys", "rediss").replace("valkey", "redis")
        url, options = take_options(url, scheme, {"prefix", "allow"})
        prefix = options.get("prefix", "calibrig")
        if not prefix or not prefix.isprintable() or "{" in prefix or "}" in prefix or len(prefix) > 100:
            raise InvalidInputError(
                f"prefix is {prefix!r}; give 1 to 100 printable characters without braces"
            )
        tag = f"{{{prefix}}}"  # one hash slot, so that one script may touch all keys in a cluster
        self._store, self._changes, self._lists = f"{tag}:store", f"{tag}:changes", f"{tag}:versions:"
        self._channel = f"{tag}:changed"
        self._closed = False
        self._waiting = threading.Lock()
        self._subscription: Link | None = None
        self._seen = 0  # the newest change that load_heads has answered with
        self._name = secrets.token_hex(4).encode()  # of this opener, in what it publishes
        try:
            self._links = RedisLinks(url)
        except (ValueError, redis.RedisError) as error:
            raise InvalidInputError(
                f"{self._shown} is no Redis URL: {redact(str(error))}; give redis://user:password@host:6379/0"
            ) from None
        self._observations = RedisObservations(self._links, self._repeated, f"{tag}:observations:")
        try:
            self._check_persistence(options.get("allow", ""))
            self._begin(create)
        except BaseException:
            self._links.close()
            raise

    # -- asking the server ------------------------------------------------------------------------------------------

    def _ask(self, *words: Word) -> Any:
        return self._repeated(self._links.ask, *words)

    def _repeated(self, question: Callable[..., Any], *words: Any) -> Any:
        """Ask; once more on a fresh connection, where asking twice is harmless."""
        if not self._closed:
            try:
                return question(*words)
            except redis.TimeoutError as error:
                raise self._silent() from error
            except redis.RedisError:
                pass
        return self._translated(lambda: question(*words))

    def _silent(self) -> StoreUnavailableError:
        secured = " (does it speak TLS?)" if self._shown.startswith(("rediss", "valkeys")) else ""
        return StoreUnavailableError(f"{self._shown} does not answer in time{secured}; try again")

    def _translated(self, question: Callable[[], Any]) -> Any:
        """Ask and say what went wrong."""
        if self._closed:
            raise StoreError(f"the store at {self._shown} is closed; open it again")
        try:
            return question()
        except redis.TimeoutError as error:
            raise self._silent() from error
        except redis.AuthenticationError as error:
            raise RefusedError(
                f"{self._shown} refuses the user or the password ({_words(error)}); check both"
            ) from None
        except redis.ConnectionError as error:
            what = "check the host's name" if "name" in _words(error).lower() else "try again"
            raise StoreUnavailableError(
                f"{self._shown} cannot be reached ({_words(error)}); {what}"
            ) from None
        except redis.ResponseError as error:
            raise self._refused(error) from None
        except redis.RedisError as error:
            raise StoreError(f"{self._shown}: {_words(error)}") from None

    def _refused(self, error: redis.ResponseError) -> CalibrigError:
        words = _words(error)
        if "DB index" in words:
            return InvalidInputError(f"{self._shown}: {words}; give a database that the server has, like /0")
        if "OOM" in words:
            return StoreError(f"{self._shown} has no memory left ({words}); nothing was written: free some")
        if "MISCONF" in words or "No space left" in words:
            return StoreError(
                f"{self._shown} cannot write its file, its disk may be full ({words}); nothing was written"
            )
        if any(
            word in words
            for word in (
                "NOPERM",
                "NOAUTH",
                "WRONGPASS",
                "READONLY",
                "no permission",
                "can't run this command",
            )
        ):
            return RefusedError(f"{self._shown} does not let this user do that ({words}); check its rights")
        if "WRONGTYPE" in words:
            return CorruptRecordError(
                f"{self._shown}: a key of the store is of another type ({words}); restore it"
            )
        if "LOADING" in words or "MASTERDOWN" in words or "TRYAGAIN" in words:
            return StoreUnavailableError(f"{self._shown} is not ready ({words}); try again")
        return StoreError(f"{self._shown}: {words}")

    def _check_persistence(self, allow: str) -> None:
        if allow not in {"", "no-persistence"}:
            raise InvalidInputError(f"allow is {allow!r}; the only value is no-persistence")
        if b"aof_enabled:1" in self._ask("INFO", "persistence"):
            return
        if not allow:
            raise RefusedError(
                f"{self._shown} keeps no append-only file, so acknowledged versions would be lost with the process; "
                f"set appendonly yes (and appendfsync always), or allow it by name with ?allow=no-persistence"
            )
        _LOG.warning("%s keeps nothing: versions are lost when it ends", self._shown)

    def _begin(self, create: bool) -> None:
        present = self._ask("HGET", self._store, "schema")
        if present is None:
            if not create:
                raise MissingFileError(f"there is no store at {self._shown}; run: calibrig store init")
            self._ask("HSETNX", self._store, "store_id", secrets.token_hex(16))
            self._ask("HSETNX", self._store, "schema", SCHEMA)
            present = self._ask("HGET", self._store, "schema")
        if int(present) > SCHEMA:
            raise RefusedError(
                f"{self._shown} has store schema {int(present)}, this calibrig knows {SCHEMA}; upgrade calibrig"
            )

    def _list(self, kind: str, symbol: str) -> str:
        return f"{self._lists}{kind}/{symbol}"

    # -- Backend ------------------------------------------------------------------------------------------------------

    def load_heads(self, after: int) -> Heads:
        """Read the heads that changed after ``after`` in one script."""
        answer = self._repeated(self._links.run, _HEADS, (self._store, self._changes), (after, self._lists))
        change, store_id, *elements = answer
        self._seen = int(change)
        return Heads(self._seen, tuple(self._stored(one) for one in elements), store_id.decode())

    def _stored(self, element: bytes) -> Stored:
        if len(element) <= _HEX:
            raise CorruptRecordError(f"{self._shown} has a head whose version is missing; restore a backup")
        return Stored(element[_HEX:], element[:_HEX].decode(errors="replace"))

    def append(self, records: Sequence[Sealed]) -> int:
        """Append all records or none, in one script; with ``appendfsync always`` on the disk when this returns."""
        keys = [self._store, self._changes, *(self._list(one.kind, one.symbol) for one in records)]
        arguments: list[Word] = [self._channel]
        for one in records:
            element = one.hash.encode() + one.payload
            arguments += [f"{one.kind}/{one.symbol}", one.version_id - 1, one.previous_hash, element]
        arguments.append(self._name)
        change, index, present = self._translated(
            lambda: self._links.run(_APPEND, keys, arguments, at_most_once=True)
        )
        if change < 0:
            record = records[index]
            raise VersionConflictError(
                f"{record.kind}/{record.symbol} is at version {present}, not {record.version_id - 1}"
            )
        return int(change)

    def _keys(self, query: HistoryQuery) -> list[tuple[str, str]]:
        fields: list[bytes] = self._ask("ZRANGE", self._changes, 0, -1)
        keys = [tuple(field.decode().split("/", 1)) for field in fields]
        return sorted(
            (kind, symbol)
            for kind, symbol in keys
            if query.kind in {None, kind} and query.symbol in {None, symbol}
        )

    def history(self, query: HistoryQuery) -> Iterator[Stored]:
        """Yield versions by key and number, page by page."""
        for kind, symbol in self._keys(query):
            if query.version_id is not None:
                yield from self._page(kind, symbol, query.version_id - 1, query.version_id - 1, query)
                continue
            length: int = self._ask("LLEN", self._list(kind, symbol))
            for start in range(0, length, _PAGE):
                yield from self._page(kind, symbol, start, start + _PAGE - 1, query)

    def _page(self, kind: str, symbol: str, first: int, last: int, query: HistoryQuery) -> Iterator[Stored]:
        if first < 0:
            return
        elements = self._ask("LRANGE", self._list(kind, symbol), first, last)
        for element in elements:
            stored = self._stored(element)
            everything = query.since is None and query.until is None and query.updated_by is None
            if everything or _wanted(query, decode_content(stored.payload)[0]):
                yield stored

    def as_of(self, kind: str, symbol: str, time_ns: int | None) -> Stored | None:
        """Read the head, or page back to the newest version of ``time_ns`` or before."""
        name = self._list(kind, symbol)
        if time_ns is None:
            element = self._repeated(self._links.ask, "LINDEX", name, -1)
            return self._stored(element) if element is not None else None
        end = self._ask("LLEN", name)
        while end > 0:
            start = max(0, end - _PAGE)
            elements: list[bytes] = self._ask("LRANGE", name, start, end - 1)
            for element in reversed(elements):
                stored = self._stored(element)
                if decode_content(stored.payload)[0].updated_at <= time_ns:
                    return stored
            end = start
        return None

    def append_observations(self, observations: Sequence[Observation]) -> None:
        """Append all or none, in one script; the newest 100,000 of a series stay."""
        self._observations.append(observations)

    def read_observations(self, query: ObservationQuery) -> Iterator[Observation]:
        """Yield the newest asked for, by time."""
        return self._observations.read(query)

    def expire_observations(self, before_ns: int) -> None:
        """Remove what is older."""
        self._observations.expire(before_ns)

    def wait(self, timeout_s: float) -> bool:
        """Wait for news on the channel; a broken subscription is made anew by the next call.

        A message of this opener's own is no news, and neither is one of a change that ``load_heads`` has answered with.
        """
        until = time.monotonic() + timeout_s
        with self._waiting:
            if self._closed:
                return False
            try:
                if self._subscription is None:
                    self._subscription = self._translated(lambda: self._links.subscribe(self._channel))
                    return True  # something may have been missed while nobody listened
                listen = self._subscription.listen
                while (left := until - time.monotonic()) > 0:
                    message = self._translated(lambda: listen(left))
                    if message is None:
                        return False
                    if self._is_news(message):
                        return True
                return False
            except StoreError:
                self._drop_subscription()
                if self._has_closed():
                    return False
                raise

    def _is_news(self, message: Any) -> bool:
        change, _, name = message[2].partition(b" ") if len(message) == 3 else (b"", b"", b"")
        return name != self._name and not (change.isdigit() and int(change) <= self._seen)

    def _drop_subscription(self) -> None:
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            subscription.close()

    def _has_closed(self) -> bool:
        return self._closed  # another thread may have closed it meanwhile

    def close(self) -> None:
        """Close the connections; safe twice; ends a ``wait`` in another thread."""
        if self._closed:
            return
        self._closed = True
        subscription = self._subscription
        if subscription is not None:
            subscription.shut()
        with self._waiting:
            self._drop_subscription()
        self._links.close()


def _words(error: Exception) -> str:
    return redact(str(error))[:500]


def _wanted(query: HistoryQuery, content: Content) -> bool:
    return (
        (query.since is None or content.updated_at >= query.since)
        and (query.until is None or content.updated_at <= query.until)
        and query.updated_by in {None, content.updated_by}
    )
