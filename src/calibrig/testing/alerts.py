"""A receiver of alerts that misbehaves by script: answers with errors, hangs up, hangs, or takes them."""

from __future__ import annotations

import enum
import http.server
import threading
import time
from collections.abc import Iterable
from types import TracebackType
from typing import Self

import msgspec

from calibrig.bridge import Alert

__all__ = ["AlertSink", "SinkAnswer"]


class SinkAnswer(enum.StrEnum):
    """What the receiver does with one request."""

    TAKE = "take"
    UNAVAILABLE = "unavailable"
    """503: try again."""
    REFUSE = "refuse"
    """400: do not."""
    HANG_UP = "hang_up"
    """Close the connection without a word."""
    HANG = "hang"
    """Say nothing for longer than any timeout."""


class AlertSink:
    """A webhook on 127.0.0.1 that answers by script, then takes everything.

    Attributes
    ----------
    arrivals : list of (int, str, SinkAnswer)
        Time (ns, UTC), id and answer of every attempt.
    taken : list of Alert

    Examples
    --------
    >>> from calibrig.bridge import WebhookTarget
    >>> with AlertSink([SinkAnswer.UNAVAILABLE]) as sink:
    ...     WebhookTarget(sink.url).send("1", b"{}").outcome
    <Outcome.RETRY: 'retry'>
    """

    def __init__(self, script: Iterable[SinkAnswer] = (), *, hang_s: float = 30.0) -> None:
        self.arrivals: list[tuple[int, str, SinkAnswer]] = []
        self.taken: list[Alert] = []
        self._script = iter(list(script))
        self._lock = threading.Lock()
        self._closing = threading.Event()
        sink = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = sink._receive(self.headers["Idempotency-Key"], body)
                if status is SinkAnswer.HANG:
                    sink._closing.wait(hang_s)
                if status in {SinkAnswer.HANG, SinkAnswer.HANG_UP}:
                    self.close_connection = True
                    return
                self.send_response(
                    {SinkAnswer.TAKE: 204, SinkAnswer.UNAVAILABLE: 503, SinkAnswer.REFUSE: 400}[status]
                )
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/hook"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def _receive(self, alert_id: str, body: bytes) -> SinkAnswer:
        with self._lock:
            answer = next(self._script, SinkAnswer.TAKE)
            self.arrivals.append((time.time_ns(), alert_id, answer))
            if answer is SinkAnswer.TAKE:
                self.taken.append(msgspec.json.decode(body, type=Alert))
            return answer

    def close(self) -> None:
        """Stop serving; safe twice."""
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
