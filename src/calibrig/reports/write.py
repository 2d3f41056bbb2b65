"""Write a file whole or not at all."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from calibrig.reports.content import ReportContent
from calibrig.reports.page import render_report

__all__ = ["write_report", "write_whole"]


def write_report(content: ReportContent, path: str | os.PathLike[str]) -> Path:
    """Render ``content`` and write it to ``path``, whole or not at all; an older report stays until then.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> content = ReportContent(title="Demo", subtitle="", verdict="PASS", verdict_reason="")
    >>> write_report(content, Path(folder.name) / "report.html").name
    'report.html'
    >>> folder.cleanup()
    """
    return write_whole(path, render_report(content).encode("utf-8"))


def write_whole(path: str | os.PathLike[str], content: bytes) -> Path:
    """Write ``content`` to a temporary file beside ``path``, sync it and rename it; nothing is left on failure.

    Raises
    ------
    OSError
        With the name of ``path``, for example when the disk is full.
    """
    target = Path(path)
    temporary: str | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(target)
        temporary = None
        _sync_folder(target.parent)
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(target)) from error
    finally:
        if temporary is not None:
            with suppress(OSError):
                Path(temporary).unlink()
    return target


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
