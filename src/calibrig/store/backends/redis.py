"""Redis or Valkey: a shared cache with push; one script appends, opaque bytes only, and nothing waits for ever."""

from __future__ import annotations

import contextlib
import logging
import secrets
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from calibrig.errors import (
    CorruptRecordError,
    InvalidInputError,
    MissingFileError,
    RefusedError,
    StoreError,
    StoreUnavailableError,
    VersionConflictError,
)
from calibrig.store.backend import Heads, HistoryQuery, Stored
from calibrig.store.backends.redis_observations import RedisObservations
from calibrig.store.observations import Observation, ObservationQuery
from calibrig.store.record import Content, Sealed, decode_content
from calibrig.store.urls import redact, take_options

__all__ = ["RedisBackend"]

TIMEOUT_S = 0.5  # for every answer: a server that hangs must be noticed within a second
CONNECT_TIMEOUT_S = 0.5
SCHEMA = 1
_HEX = 64
_PAGE = 256
_LOG = logging.getLogger("calibrig.store")
_T = TypeVar("_T")

# KEYS: store, changes, one list per record. ARGV: channel, then per record: field, version before, hash before, element.
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
redis.call('PUBLISH', ARGV[1], change)
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
        self._subscription: Any = None
        try:
            self._client: Any = redis.Redis.from_url(
                url,
                socket_timeout=TIMEOUT_S,
                socket_connect_timeout=CONNECT_TIMEOUT_S,
                retry=Retry(NoBackoff(), 0),
                decode_responses=False,
                client_name="calibrig",
            )
        except (ValueError, redis.RedisError) as error:
            raise InvalidInputError(f"{self._shown} is no Redis URL: {redact(str(error))}") from None
        self._append_script = self._client.register_script(_APPEND)
        self._heads_script = self._client.register_script(_HEADS)
        self._observations = RedisObservations(self._client, self._ask, f"{tag}:observations:")
        try:
            self._check_persistence(options.get("allow", ""))
            self._begin(create)
        except BaseException:
            self._client.close()
            raise

    # -- asking the server ------------------------------------------------------------------------------------------

    def _ask(self, question: Callable[[], _T], *, again: bool = True) -> _T:
        """Ask; once more on a fresh connection where asking twice is harmless; and say what went wrong."""
        if self._closed:
            raise StoreError(f"the store at {self._shown} is closed; open it again")
        try:
            return question()
        except redis.TimeoutError as error:
            raise StoreUnavailableError(f"{self._shown} does not answer within {TIMEOUT_S:g} s") from error
        except redis.AuthenticationError as error:
            raise RefusedError(
                f"{self._shown} refuses the user or the password ({_words(error)}); check both"
            ) from None
        except redis.ConnectionError as error:
            if again and not isinstance(error, redis.BusyLoadingError):
                return self._ask(question, again=False)
            raise StoreUnavailableError(
                f"{self._shown} cannot be reached ({_words(error)}); try again"
            ) from None
        except redis.ResponseError as error:
            raise self._refused(error) from None
        except redis.RedisError as error:
            raise StoreError(f"{self._shown}: {_words(error)}") from None

    def _refused(self, error: redis.ResponseError) -> StoreError:
        words = _words(error)
        if "OOM" in words:
            return StoreError(f"{self._shown} has no memory left ({words}); nothing was written: free some")
        if "MISCONF" in words or "No space left" in words:
            return StoreError(
                f"{self._shown} cannot write its file, its disk may be full ({words}); nothing was written"
            )
        if any(word in words for word in ("NOPERM", "NOAUTH", "WRONGPASS", "READONLY", "no permission")):
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
        about = self._ask(lambda: self._client.info("persistence"))
        if int(about.get("aof_enabled", 0)):
            return
        if not allow:
            raise RefusedError(
                f"{self._shown} keeps no append-only file, so acknowledged versions would be lost with the process; "
                f"set appendonly yes (and appendfsync always), or allow it by name with ?allow=no-persistence"
            )
        _LOG.warning("%s keeps nothing: versions are lost when it ends", self._shown)

    def _begin(self, create: bool) -> None:
        present = self._ask(lambda: self._client.hget(self._store, "schema"))
        if present is None:
            if not create:
                raise MissingFileError(f"there is no store at {self._shown}; run: calibrig store init")
            self._ask(lambda: self._client.hsetnx(self._store, "store_id", secrets.token_hex(16)))
            self._ask(lambda: self._client.hsetnx(self._store, "schema", SCHEMA))
            present = self._ask(lambda: self._client.hget(self._store, "schema"))
        if int(present) > SCHEMA:
            raise RefusedError(
                f"{self._shown} has store schema {int(present)}, this calibrig knows {SCHEMA}; upgrade calibrig"
            )

    def _list(self, kind: str, symbol: str) -> str:
        return f"{self._lists}{kind}/{symbol}"

    # -- Backend ------------------------------------------------------------------------------------------------------

    def load_heads(self, after: int) -> Heads:
        """Read the heads that changed after ``after`` in one script."""
        answer = self._ask(
            lambda: self._heads_script(keys=[self._store, self._changes], args=[after, self._lists])
        )
        change, store_id, *elements = answer
        return Heads(int(change), tuple(self._stored(one) for one in elements), store_id.decode())

    def _stored(self, element: bytes) -> Stored:
        if len(element) <= _HEX:
            raise CorruptRecordError(f"{self._shown} has a head whose version is missing; restore a backup")
        return Stored(element[_HEX:], element[:_HEX].decode(errors="replace"))

    def append(self, records: Sequence[Sealed]) -> None:
        """Append all records or none, in one script; with ``appendfsync always`` on the disk when this returns."""
        keys = [self._store, self._changes, *(self._list(one.kind, one.symbol) for one in records)]
        arguments: list[str | int | bytes] = [self._channel]
        for one in records:
            element = one.hash.encode() + one.payload
            arguments += [f"{one.kind}/{one.symbol}", one.version_id - 1, one.previous_hash, element]
        change, index, present = self._ask(
            lambda: self._append_script(keys=keys, args=arguments), again=False
        )
        if change < 0:
            record = records[index]
            raise VersionConflictError(
                f"{record.kind}/{record.symbol} is at version {present}, not {record.version_id - 1}"
            )

    def _keys(self, query: HistoryQuery) -> list[tuple[str, str]]:
        fields: list[bytes] = self._ask(lambda: self._client.zrange(self._changes, 0, -1))
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
            length: int = self._ask(partial(self._client.llen, self._list(kind, symbol)))
            for start in range(0, length, _PAGE):
                yield from self._page(kind, symbol, start, start + _PAGE - 1, query)

    def _page(self, kind: str, symbol: str, first: int, last: int, query: HistoryQuery) -> Iterator[Stored]:
        if first < 0:
            return
        elements = self._ask(lambda: self._client.lrange(self._list(kind, symbol), first, last))
        for element in elements:
            stored = self._stored(element)
            everything = query.since is None and query.until is None and query.updated_by is None
            if everything or _wanted(query, decode_content(stored.payload)[0]):
                yield stored

    def as_of(self, kind: str, symbol: str, time_ns: int | None) -> Stored | None:
        """Read the head, or page back to the newest version of ``time_ns`` or before."""
        name = self._list(kind, symbol)
        if time_ns is None:
            element = self._ask(lambda: self._client.lindex(name, -1))
            return self._stored(element) if element is not None else None
        end = self._ask(lambda: self._client.llen(name))
        while end > 0:
            start = max(0, end - _PAGE)
            elements: list[bytes] = self._ask(partial(self._client.lrange, name, start, end - 1))
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
        """Wait for a message of the channel; a broken subscription is made anew by the next call."""
        with self._waiting:
            if self._closed:
                return False
            try:
                if self._subscription is None:
                    self._subscription = self._client.pubsub(ignore_subscribe_messages=True)
                    self._ask(lambda: self._subscription.subscribe(self._channel), again=False)
                    return True  # something may have been missed while nobody listened
                message = self._ask(lambda: self._subscription.get_message(timeout=timeout_s), again=False)
                while message is not None and self._drain():
                    pass
            except StoreError:
                self._drop_subscription()
                if self._has_closed():
                    return False
                raise
            except TypeError:  # redis-py polls a socket that was closed while it waited
                self._drop_subscription()
                return not self._has_closed()
            return message is not None

    def _drain(self) -> bool:
        """Take a message that is already here: one look at the heads answers all of them."""
        return self._ask(lambda: self._subscription.get_message(timeout=0.0), again=False) is not None

    def _drop_subscription(self) -> None:
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            with contextlib.suppress(redis.RedisError, OSError):
                subscription.close()

    def _has_closed(self) -> bool:
        return self._closed  # another thread may have closed it meanwhile

    def close(self) -> None:
        """Close the connections; safe twice; a ``wait`` in another thread ends at the next message or timeout."""
        if self._closed:
            return
        self._closed = True
        with contextlib.suppress(redis.RedisError, OSError):
            self._interrupt()
        with self._waiting:
            self._drop_subscription()
        with contextlib.suppress(redis.RedisError, OSError):
            self._client.close()

    def _interrupt(self) -> None:
        """Shut the socket that a waiting thread reads from."""
        subscription = self._subscription
        connection = getattr(subscription, "connection", None)
        link = getattr(connection, "_sock", None)
        if link is not None:
            link.shutdown(2)


def _words(error: Exception) -> str:
    return redact(str(error))[:500]


def _wanted(query: HistoryQuery, content: Content) -> bool:
    return (
        (query.since is None or content.updated_at >= query.since)
        and (query.until is None or content.updated_at <= query.until)
        and query.updated_by in {None, content.updated_by}
    )
