"""Writers that are killed at random moments, and what they must leave: ``python -m calibrig.testing.store_killing``.

One single-threaded process forks the writers, so that nothing but the store is shared with the killed.
"""

from __future__ import annotations

import os
import random
import select
import signal
import sys
import time
from typing import NoReturn

import msgspec

from calibrig.errors import CalibrigError
from calibrig.store import ModelStore
from calibrig.testing.store import RISK

__all__ = ["run_kills"]


class _Writer:
    """A forked process that updates one key and says so, until it is killed."""

    def __init__(self, url: str, name: str) -> None:
        self.name = name
        self.acknowledged: list[tuple[int, str]] = []
        self._rest = b""
        self.pipe, write_end = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self.pipe)
            _write_for_ever(url, name, write_end)
        os.close(write_end)

    def read(self) -> None:
        """Take what the writer has said so far."""
        while select.select([self.pipe], [], [], 0)[0]:
            data = os.read(self.pipe, 65536)
            if not data:
                break
            *lines, self._rest = (self._rest + data).split(b"\n")
            for line in lines:
                number, _, comment = line.decode().partition(" ")
                self.acknowledged.append((int(number), comment))

    def kill(self) -> None:
        """End the writer as a crash would, and take its last words."""
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        self.read()
        os.close(self.pipe)


def _write_for_ever(url: str, name: str, pipe: int) -> NoReturn:
    try:
        with ModelStore(url) as store:
            count = 0
            while True:
                comment = f"{name}:{count}"
                version = store.update("risk", "A", RISK, name, comment)
                os.write(pipe, f"{version.version_id} {comment}\n".encode())
                count += 1
    except BaseException as error:  # noqa: BLE001  the parent wants every word of it
        os.write(pipe, f"-1 {type(error).__name__}: {error}\n".replace("\n", " ").encode() + b"\n")
    finally:
        os._exit(1)


def run_kills(url: str, *, kills: int, writers: int, seed: int) -> dict[str, object]:
    """Keep ``writers`` writing, kill a random one ``kills`` times, and check what is left.

    Wanted: every acknowledged update stands under its number with its comment; numbers have no gaps; the chain holds.
    """
    chance = random.Random(seed)
    with ModelStore(url):
        pass  # made before the first writer starts
    alive = [_Writer(url, f"w{index}") for index in range(writers)]
    acknowledged: list[tuple[int, str]] = []
    for number in range(kills):
        time.sleep(chance.uniform(0.0, 0.03))
        for writer in alive:
            writer.read()
        victim = alive.pop(chance.randrange(len(alive)))
        victim.kill()
        acknowledged += victim.acknowledged
        alive.append(_Writer(url, f"k{number}"))
    for writer in alive:
        writer.kill()
        acknowledged += writer.acknowledged
    return _check(url, kills, acknowledged)


def _check(url: str, kills: int, acknowledged: list[tuple[int, str]]) -> dict[str, object]:
    problems = [text for number, text in acknowledged if number < 0]
    acknowledged = [one for one in acknowledged if one[0] > 0]
    try:
        with ModelStore(url) as store:
            report = store.verify()
            problems += report.problems
            history = {one.version.version_id: one.version.comment for one in store.history("risk", "A")}
    except CalibrigError as error:
        return {"runs": kills, "problems": [str(error)], "violations": 1, "acknowledged": len(acknowledged)}
    if list(history) != list(range(1, len(history) + 1)):
        problems.append("the numbers have gaps")
    problems += [
        f"version {number} was acknowledged as {comment!r}, there is {history.get(number)!r}"
        for number, comment in acknowledged
        if history.get(number) != comment
    ]
    return {
        "runs": kills,
        "problems": problems[:20],
        "violations": len(problems),
        "acknowledged": len(acknowledged),
        "versions": len(history),
    }


if __name__ == "__main__":
    words = sys.argv[1:]
    found = run_kills(words[0], kills=int(words[1]), writers=int(words[2]), seed=int(words[3]))
    sys.stdout.write(msgspec.json.encode(found).decode() + "\n")
