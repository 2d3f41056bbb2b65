"""Where an alert goes: a webhook or a program, one attempt at a time."""

from __future__ import annotations

import contextlib
import enum
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

import msgspec

from calibrig.errors import InvalidInputError

if TYPE_CHECKING:
    import http.client

__all__ = ["AlertTarget", "Attempt", "ExecTarget", "Outcome", "WebhookTarget", "open_alert_target"]

_TRY_AGAIN = {408, 425, 429}


class Outcome(enum.StrEnum):
    """What came of an attempt."""

    DELIVERED = "delivered"
    RETRY = "retry"
    """The target could not be reached, or is not able now."""
    REFUSED = "refused"
    """The target understood and does not want it: another attempt would end the same."""


class Attempt(msgspec.Struct, frozen=True):
    """Outcome of one attempt and, where it failed, why."""

    outcome: Outcome
    reason: str = ""


class AlertTarget(Protocol):
    """Takes one alert; returns within a bounded time and raises nothing for a target's fault."""

    def send(self, alert_id: str, body: bytes) -> Attempt:
        """Try once to hand over a JSON document; the same id may come again."""


class WebhookTarget:
    """POSTs an alert to a URL; 2xx is delivered, 408, 425, 429 and 5xx are tried again, the rest is refused.

    Parameters
    ----------
    url : str
        ``https://`` or ``http://``; redirects are not followed.
    timeout_s : float
        For connecting, sending and the answer, each.
    headers : mapping of str to str, optional
        As a token in ``Authorization``; never shown in a message.

    Examples
    --------
    >>> WebhookTarget("http://127.0.0.1:1/").send("1", b"{}").outcome
    <Outcome.RETRY: 'retry'>
    """

    def __init__(self, url: str, *, timeout_s: float = 2.0, headers: Mapping[str, str] | None = None) -> None:
        import http.client  # noqa: F401 - loaded here: not on the way of `import calibrig`, nor when an alert is due
        import ssl  # noqa: F401
        from urllib.parse import urlsplit

        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise InvalidInputError(
                f"the webhook's URL cannot be read ({error}); give https://host/path"
            ) from None
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username is not None:
            raise InvalidInputError(
                f"webhook of scheme {parts.scheme!r} at host {parts.hostname!r}; give https://host/path, and "
                "credentials as headers"
            )
        self._secure, self._host, self._port = parts.scheme == "https", parts.hostname, port
        self._path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._timeout_s = timeout_s
        self._headers = dict(headers or {})

    def __repr__(self) -> str:
        return f"WebhookTarget({self._host})"  # a path may hold a token

    def send(self, alert_id: str, body: bytes) -> Attempt:
        """POST once."""
        import http.client

        headers = {"Content-Type": "application/json", "Idempotency-Key": alert_id, **self._headers}
        connection = self._connect()
        try:
            connection.request("POST", self._path, body, headers)
            status = connection.getresponse().status
        except (OSError, http.client.HTTPException) as error:
            return Attempt(Outcome.RETRY, f"{self._host}: {type(error).__name__}: {error}")
        finally:
            connection.close()
        if 200 <= status < 300:
            return Attempt(Outcome.DELIVERED)
        again = status in _TRY_AGAIN or status >= 500
        return Attempt(Outcome.RETRY if again else Outcome.REFUSED, f"{self._host} answers {status}")

    def _connect(self) -> http.client.HTTPConnection:
        import http.client
        import ssl

        if self._secure:
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(
                self._host, self._port, timeout=self._timeout_s, context=context
            )
        return http.client.HTTPConnection(self._host, self._port, timeout=self._timeout_s)


class ExecTarget:
    """Runs a program with the alert on its standard input; exit code 0 is delivered, all else is tried again.

    Parameters
    ----------
    command : list of str
        Program and arguments; no shell.
    timeout_s : float
        After which the program and what it started are killed.

    Examples
    --------
    >>> ExecTarget(["true"]).send("1", b"{}").outcome
    <Outcome.DELIVERED: 'delivered'>
    """

    def __init__(self, command: list[str], *, timeout_s: float = 10.0) -> None:
        import shutil
        import subprocess  # noqa: F401 - as above

        if not command or shutil.which(command[0]) is None:
            raise InvalidInputError(
                f"program {command[0] if command else ''!r} is not there or may not be run; give the path of an "
                "executable file"
            )
        self._command, self._timeout_s = command, timeout_s

    def __repr__(self) -> str:
        return f"ExecTarget({self._command[0]})"

    def send(self, alert_id: str, body: bytes) -> Attempt:
        """Run the program once; ``CALIBRIG_ALERT_ID`` in its environment names the alert."""
        import signal
        import subprocess

        try:
            process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "CALIBRIG_ALERT_ID": alert_id},
                start_new_session=True,
            )
        except OSError as error:
            return Attempt(Outcome.RETRY, f"{self._command[0]}: {error.strerror}")
        try:
            process.communicate(body, timeout=self._timeout_s)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            return Attempt(Outcome.RETRY, f"{self._command[0]} took longer than {self._timeout_s:g} s")
        if process.returncode == 0:
            return Attempt(Outcome.DELIVERED)
        return Attempt(Outcome.RETRY, f"{self._command[0]} ends with {process.returncode}")


def open_alert_target(target: str, *, headers: Mapping[str, str] | None = None) -> AlertTarget:
    """Return the target that a text names: ``https://host/path``, ``http://..`` or ``exec:program arguments``.

    Examples
    --------
    >>> open_alert_target("exec:true --now")
    ExecTarget(true)
    """
    import shlex

    if target.startswith("exec:"):
        return ExecTarget(shlex.split(target.removeprefix("exec:")))
    return WebhookTarget(target, headers=headers)
