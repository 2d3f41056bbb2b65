"""Observations in Redis or Valkey: one sorted set per series, bounded in time and in number."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import msgspec

from calibrig.errors import CorruptRecordError
from calibrig.store.backends.redis_link import RedisLinks
from calibrig.store.observations import Observation, ObservationQuery

__all__ = ["MAX_SERIES_LENGTH", "RedisObservations"]

MAX_SERIES_LENGTH = 100_000  # of one kind, symbol and metric: the memory is the server's

# A score is a double and does not hold nanoseconds, so it counts microseconds; the element holds the exact time.
# KEYS: names of the series. ARGV: greatest length, then per series: its name, how many words follow, and those: score
# and element in turns. Few calls with many words each, because the server answers nobody else meanwhile.
_APPEND = """
local at, step = 2, 1000
while at < #ARGV do
    local series, words = ARGV[at], tonumber(ARGV[at + 1])
    local place, first, last = KEYS[1] .. series, at + 2, at + 1 + words
    for i = first, last, step do
        redis.call('ZADD', place, unpack(ARGV, i, math.min(i + step - 1, last)))
    end
    redis.call('SADD', KEYS[1], series)
    redis.call('ZREMRANGEBYRANK', place, 0, -ARGV[1] - 1)
    at = last + 1
end
return 1
"""
_EXPIRE = """
for _, series in ipairs(redis.call('SMEMBERS', KEYS[1])) do
    redis.call('ZREMRANGEBYSCORE', KEYS[1] .. series, '-inf', '(' .. ARGV[1])
    if redis.call('EXISTS', KEYS[1] .. series) == 0 then
        redis.call('SREM', KEYS[1], series)
    end
end
return 1
"""
_PAGE = 1_000


class RedisObservations:
    """Series under one key prefix.

    Parameters
    ----------
    links : RedisLinks
        The backend's.
    repeat : callable
        Asks by one of their functions, twice where need be, with the backend's typed errors.
    key : str
        Set of the series' names; each series lies at this key with its name behind.
    """

    def __init__(self, links: RedisLinks, repeat: Callable[..., Any], key: str) -> None:
        self._links, self._repeat, self._key = links, repeat, key

    def append(self, observations: Sequence[Observation]) -> None:
        """Append in one script: all or none."""
        series: dict[bytes, list[Any]] = {}
        for one in observations:
            name = msgspec.json.encode((one.kind, one.symbol, one.metric))
            element = msgspec.json.encode((one.time_ns, float(one.value), one.source))
            series.setdefault(name, []).extend((one.time_ns // 1000, element))
        arguments: list[Any] = [MAX_SERIES_LENGTH]
        for name, words in series.items():
            arguments += [name, len(words), *words]
        append = partial(self._links.run, at_most_once=True)  # it may take longer
        self._repeat(append, _APPEND, (self._key,), arguments)

    def read(self, query: ObservationQuery) -> Iterator[Observation]:
        """Yield the newest asked for: the series are merged, each read backwards page by page."""
        series = []
        for name in self._repeat(self._links.ask, "SMEMBERS", self._key):
            key = msgspec.json.decode(name)
            wanted = zip((query.kind, query.symbol, query.metric), key, strict=True)
            if all(value in {None, own} for value, own in wanted):
                series.append(self._newest_first(key, name, query))
        merged = heapq.merge(*series, key=_order, reverse=True)
        newest = [one for one, _ in zip(merged, range(query.limit), strict=False)]
        return reversed(newest)

    def _newest_first(
        self, key: tuple[str, str, str], name: bytes, query: ObservationQuery
    ) -> Iterator[Observation]:
        place = self._key.encode() + name
        high: Any = "+inf" if query.until is None else query.until // 1000
        low: Any = "-inf" if query.since is None else query.since // 1000
        start = 0
        while True:
            limit = ("LIMIT", start, _PAGE)
            page = self._repeat(self._links.ask, "ZREVRANGEBYSCORE", place, high, low, *limit)
            found = sorted((self._decode(key, element) for element in page), key=_order, reverse=True)
            yield from (one for one in found if query.wants(one))
            if len(page) < _PAGE:
                return
            start += _PAGE

    def _decode(self, key: tuple[str, str, str], element: bytes) -> Observation:
        try:
            time_ns, value, source = msgspec.json.decode(element, type=tuple[int, float, str])
            return Observation(*key, time_ns, value, source)
        except (msgspec.MsgspecError, ValueError):
            raise CorruptRecordError(
                f"the observations of {key[0]}/{key[1]} {key[2]} hold something else ({element[:60]!r}); remove it"
            ) from None

    def expire(self, before_ns: int) -> None:
        """Remove what is older, and series that are empty then."""
        self._repeat(self._links.run, _EXPIRE, (self._key,), (before_ns // 1000,))


def _order(one: Observation) -> tuple[int, str, str, str, str]:
    return one.time_ns, one.symbol, one.metric, one.source, one.kind
