"""One command, one answer: connections to a Redis server with nothing between them and the caller.

A redis-py client spends about 50 us of Python on each command (pool, retries, metrics) where the server takes 15. Here it
only connects (it knows TLS, passwords and databases); what follows goes straight through the socket and hiredis.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import select
import socket
import struct
from collections.abc import Sequence
from typing import Any

import hiredis
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

__all__ = ["TIMEOUT_S", "Link", "RedisLinks"]

TIMEOUT_S = 0.5  # for every answer: a server that hangs must be noticed within a second
WRITE_TIMEOUT_S = 2.0  # a batch has to be written to the disk
CONNECT_TIMEOUT_S = 0.5
Word = str | int | bytes


@functools.cache
def _digest(script: str) -> str:
    return hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()


_MORE = object()  # what the parser says until an answer is whole


class Link:
    """One connection, used by one thread at a time.

    Parameters
    ----------
    connection : redis.Connection
        It is connected here.
    """

    __slots__ = (
        "_buffer",
        "_connection",
        "_feed",
        "_gets",
        "_readable",
        "_receive",
        "_send",
        "_socket",
        "closed",
    )

    def __init__(self, connection: Any) -> None:
        connection.connect()
        self._connection = connection
        link: socket.socket = connection._sock
        if type(link) is socket.socket:  # the kernel keeps the time: one system call fewer for each answer
            limit = struct.pack("ll", 0, int(TIMEOUT_S * 1e6))
            link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
            link.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
            link.settimeout(None)
        reader = hiredis.Reader(notEnoughData=_MORE)
        self._buffer = bytearray(65536)
        self._feed: Any = reader.feed
        self._gets = reader.gets
        self._socket = link
        self._readable = select.poll()
        self._readable.register(link, select.POLLIN)
        self._receive, self._send = link.recv_into, link.sendall
        self.closed = False

    def ask(self, words: tuple[Word, ...], limit_s: float = TIMEOUT_S) -> Any:
        """Send one command, return its answer; raise what redis-py would."""
        try:
            self._send(hiredis.pack_command(words))  # type: ignore[arg-type]
            if limit_s > TIMEOUT_S:
                self._readable.poll(limit_s * 1000)
            answer = _MORE
            while answer is _MORE:
                self._fill()
                answer = self._gets()
        except BaseException as error:  # noqa: BLE001  raised again, as what redis-py calls it
            raise self._broken(error) from None
        if isinstance(answer, hiredis.ReplyError):
            raise redis.ResponseError(str(answer))
        return answer

    def _fill(self) -> None:
        count = self._receive(self._buffer)
        if not count:
            raise ConnectionResetError("the server closed the connection")
        self._feed(self._buffer, 0, count)

    def listen(self, timeout_s: float) -> Any:
        """Wait for what the server sends unasked; return the newest of it, or None after ``timeout_s``."""
        try:
            if not self._readable.poll(max(timeout_s, 0.0) * 1000):
                return None
            newest: Any = None
            while newest is None:
                self._fill()
                while (message := self._gets()) is not _MORE:
                    newest = message
        except BaseException as error:  # noqa: BLE001  raised again, as what redis-py calls it
            raise self._broken(error) from None
        return newest

    def _broken(self, error: BaseException) -> BaseException:
        """Close the connection, whose next answer nobody could tell from the last; return what redis-py would raise."""
        self.close()
        if isinstance(error, TimeoutError | BlockingIOError):
            return redis.TimeoutError("no answer in time")
        if isinstance(error, OSError):
            return redis.ConnectionError(str(error))
        if isinstance(error, hiredis.ProtocolError):
            return redis.InvalidResponse(str(error))
        return error

    def shut(self) -> None:
        """Shut the socket that another thread waits on, so that its wait ends."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def is_spoiled(self) -> bool:
        """Whether the server has closed this idle connection (or sent what nobody asked for)."""
        try:
            return bool(self._connection.can_read(0))
        except (redis.RedisError, OSError):
            return True

    def close(self) -> None:
        """Close the connection; safe twice."""
        self.closed = True
        with contextlib.suppress(redis.RedisError, OSError):
            self._connection.disconnect()


class RedisLinks:
    """Connections to one server: each is used by one thread at a time and kept for the next.

    Parameters
    ----------
    url : str
        As redis-py takes it.

    Raises
    ------
    ValueError
        If it is no URL of a Redis server.
    """

    def __init__(self, url: str) -> None:
        pool = redis.ConnectionPool.from_url(
            url,
            socket_timeout=TIMEOUT_S,
            socket_connect_timeout=CONNECT_TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),
            protocol=2,  # two round trips fewer than 3 when connecting, and nothing comes unasked
        )
        self._make: Any = pool.connection_class
        self._options = pool.connection_kwargs
        self._free: list[Link] = []
        self._closed = False

    def ask(self, *words: Word, at_most_once: bool = False) -> Any:
        """Send one command and return its answer.

        Parameters
        ----------
        words : str, int or bytes
            The command.
        at_most_once : bool
            It writes and cannot be repeated: look first whether the server has closed the connection, and wait longer.

        Raises
        ------
        redis.ResponseError
            If the server refuses the command; the connection stays.
        redis.RedisError
            If it cannot be reached or does not answer in time; all idle connections are thrown away.
        """
        try:
            link = self._free.pop()
        except IndexError:
            link = Link(self._make(**self._options))
        else:
            if at_most_once and link.is_spoiled():
                link.close()
                link = Link(self._make(**self._options))
        try:
            return link.ask(words, WRITE_TIMEOUT_S if at_most_once else TIMEOUT_S)
        finally:
            if link.closed:
                self._drop_idle()
            else:
                self._free.append(link)
                if self._closed:  # meanwhile, by another thread
                    self._drop_idle()

    def run(
        self, script: str, keys: Sequence[str], arguments: Sequence[Word], *, at_most_once: bool = False
    ) -> Any:
        """Run a Lua script by its hash; send its text where the server does not know it (yet, or any more)."""
        rest = (len(keys), *keys, *arguments)
        try:
            return self.ask("EVALSHA", _digest(script), *rest, at_most_once=at_most_once)
        except redis.ResponseError as error:
            if not str(error).startswith("NOSCRIPT"):
                raise
        return self.ask("EVAL", script, *rest, at_most_once=at_most_once)

    def subscribe(self, channel: str) -> Link:
        """Return a connection of its own on which the messages of ``channel`` come."""
        link = Link(self._make(**self._options))
        link.ask(("SUBSCRIBE", channel))
        return link

    def close(self) -> None:
        """Close the connections: the idle ones now, one that is in use when its answer is there."""
        self._closed = True
        self._drop_idle()

    def _drop_idle(self) -> None:
        while self._free:
            with contextlib.suppress(IndexError):  # another thread may have taken the last one
                self._free.pop().close()
