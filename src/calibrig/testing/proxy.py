"""A TCP proxy that misbehaves on demand, to stand between a store and its real server."""

from __future__ import annotations

import contextlib
import random
import selectors
import socket
import threading
import time
from types import TracebackType
from typing import Literal, Self

__all__ = ["FaultProxy", "Mode"]

Mode = Literal["pass", "delay", "cut", "refuse", "half_open", "stall", "split", "garbage"]


class FaultProxy:
    """Forwards a loopback port to a server, in one of several moods.

    ``pass`` forwards; ``delay`` waits before each piece; ``cut`` ends every connection and accepts none that lasts;
    ``refuse`` ends them and closes the port; ``half_open`` keeps connections and swallows all that is sent; ``stall``
    forwards the first half of an answer and falls silent; ``split`` forwards byte by byte; ``garbage`` answers with noise in place of the server.

    Parameters
    ----------
    target_port : int
        Port of the server on the loopback.
    seed : int
        Of the noise.

    Examples
    --------
    >>> import socket
    >>> with socket.create_server(("127.0.0.1", 0)) as server, FaultProxy(server.getsockname()[1]) as proxy:
    ...     client = socket.create_connection(("127.0.0.1", proxy.port))
    ...     peer, _ = server.accept()
    ...     client.sendall(b"hello")
    ...     passed = peer.recv(5)
    ...     proxy.set_mode("cut")
    ...     after_the_cut = client.recv(5)
    ...     client.close(), peer.close()
    (None, None)
    >>> passed, after_the_cut
    (b'hello', b'')
    """

    def __init__(self, target_port: int, *, seed: int = 0) -> None:
        self._target = ("127.0.0.1", target_port)
        self._chance = random.Random(seed)
        self._lock = threading.Lock()
        self._pairs: dict[socket.socket, socket.socket] = {}
        self._from_client: set[socket.socket] = set()
        self._stalled: set[socket.socket] = set()
        self._mode: Mode = "pass"
        self.delay_s = 0.05
        self._listener = self._listen(0)
        self.port = int(self._listener.getsockname()[1])
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="fault-proxy", daemon=True)

    @staticmethod
    def _listen(port: int) -> socket.socket:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(64)
        return listener

    @property
    def mode(self) -> Mode:
        """How the proxy behaves now."""
        return self._mode

    def set_mode(self, mode: Mode) -> None:
        """Change the mood; leaving ``refuse`` opens the port again, connections that were spoiled are ended."""
        with self._lock:
            before, self._mode = self._mode, mode
            if before == "refuse" and mode != "refuse":
                self._listener = self._listen(self.port)
                self._selector.register(self._listener, selectors.EVENT_READ)
            if mode == "refuse" and before != "refuse":
                self._selector.unregister(self._listener)
                self._listener.close()
            if mode in {"cut", "refuse"} or before in {"half_open", "stall", "garbage"}:
                for link in list(self._pairs):
                    self._drop(link)

    def _drop(self, link: socket.socket) -> None:
        other = self._pairs.pop(link, None)
        for one in (link, other):
            if one is None:
                continue
            self._pairs.pop(one, None)
            self._from_client.discard(one)
            self._stalled.discard(one)
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(one)
            one.close()

    def _run(self) -> None:
        while not self._stop.is_set():
            for key, _ in self._selector.select(0.02):
                link = key.fileobj
                assert isinstance(link, socket.socket)
                with self._lock:
                    if link is self._listener:
                        self._accept()
                    elif link in self._pairs:
                        self._forward(link)

    def _accept(self) -> None:
        try:
            client, _ = self._listener.accept()
        except OSError:
            return
        if self._mode == "cut":
            client.close()
            return
        try:
            server = socket.create_connection(self._target, timeout=2.0)
        except OSError:
            client.close()
            return
        server.settimeout(2.0)
        client.settimeout(2.0)
        for link in (client, server):
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._selector.register(link, selectors.EVENT_READ)
        self._pairs[client], self._pairs[server] = server, client
        self._from_client.add(client)

    def _forward(self, link: socket.socket) -> None:
        try:
            data = link.recv(65536)
        except OSError:
            data = b""
        if not data:
            self._drop(link)
            return
        try:
            self._send(link, data)
        except OSError:
            self._drop(link)

    def _send(self, link: socket.socket, data: bytes) -> None:
        other = self._pairs[link]
        if self._mode == "half_open" or link in self._stalled:
            return
        if self._mode == "stall" and link not in self._from_client:
            self._stalled.add(link)
            other.sendall(data[: len(data) // 2])
            return
        if self._mode == "garbage":
            if link in self._from_client:
                link.sendall(self._chance.randbytes(len(data)))
            return
        if self._mode == "delay":
            time.sleep(self.delay_s)
        if self._mode == "split" and len(data) < 4096:
            for index in range(len(data)):
                other.sendall(data[index : index + 1])
            return
        other.sendall(data)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(10.0)
        with self._lock:
            for link in list(self._pairs):
                self._drop(link)
            self._listener.close()
            self._selector.close()
