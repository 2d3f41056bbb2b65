"""The six functions of a backend, asked without the store."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import msgspec

from calibrig.errors import (
    VersionConflictError,
)
from calibrig.store import HistoryQuery, Stored
from calibrig.store.record import seal
from calibrig.testing.store_samples import (
    make_content,
)
from calibrig.testing.store_suite import StoreSuite, quietly, raises

__all__ = ["FunctionsContract"]


class FunctionsContract(StoreSuite):
    """The six functions of a backend, asked without the store."""

    def test_append_refuses_what_does_not_follow(self, tmp_path: Path) -> None:
        """Wrong number, wrong link, second of a batch wrong: nothing of it is kept."""
        backend = self.open_raw(self.url(tmp_path))
        try:
            first = seal(make_content(1, "0" * 64))
            second = seal(make_content(2, first.hash))
            with raises(VersionConflictError, "RAW"):
                backend.append([second])
            backend.append([first])
            with raises(VersionConflictError, "RAW"):
                backend.append([first])
            with raises(VersionConflictError, "RAW"):
                backend.append([seal(make_content(2, "f" * 64))])
            other = seal(make_content(1, "0" * 64, symbol="OTHER"))
            with raises(VersionConflictError, "RAW"):
                backend.append([other, seal(make_content(3, second.hash))])
            assert backend.as_of("hawkes", "OTHER", None) is None
            backend.append([other, second, seal(make_content(3, second.hash))])
            assert len(list(backend.history(HistoryQuery(symbol="RAW")))) == 3
        finally:
            backend.close()

    def test_append_tells_its_change_or_nothing(self, tmp_path: Path) -> None:
        """The number of the last record, as ``load_heads`` counts; None where the backend does not know it."""
        backend = self.open_raw(self.url(tmp_path))
        try:
            first = seal(make_content(1, "0" * 64))
            for batch in (
                [first],
                [seal(make_content(2, first.hash)), seal(make_content(1, "0" * 64, symbol="B"))],
            ):
                assert backend.append(batch) in {None, backend.load_heads(0).change}
        finally:
            backend.close()

    def test_bytes_come_back_as_they_were(self, tmp_path: Path) -> None:
        """Payload and hash, through heads, history and as_of."""
        backend = self.open_raw(self.url(tmp_path))
        try:
            first = seal(make_content(1, "0" * 64, updated_at=1_733_000_000_123_456_789))
            backend.append([first])
            expected = (first.payload, first.hash)
            found = [
                backend.load_heads(0).heads[0],
                next(iter(backend.history(HistoryQuery()))),
                backend.as_of("hawkes", "RAW", None),
                backend.as_of("hawkes", "RAW", 1_733_000_000_123_456_789),
            ]
            for one in found:
                assert isinstance(one, Stored)
                assert (one.payload, one.hash) == expected
            assert backend.as_of("hawkes", "RAW", 1_733_000_000_123_456_788) is None
        finally:
            backend.close()

    def test_load_heads_tells_only_what_changed(self, tmp_path: Path) -> None:
        """Only keys that changed after the number asked for, each once."""
        backend = self.open_raw(self.url(tmp_path))
        try:
            assert backend.load_heads(0).heads == ()
            first = seal(make_content(1, "0" * 64, symbol="A"))
            backend.append([first, seal(make_content(1, "0" * 64, symbol="B"))])
            loaded = backend.load_heads(0)
            assert len(loaded.heads) == 2
            second = seal(make_content(2, first.hash, symbol="A"))
            backend.append([second, seal(make_content(3, second.hash, symbol="A"))])
            later = backend.load_heads(loaded.change)
            assert [msgspec.json.decode(one.payload)["version_id"] for one in later.heads] == [3]
            assert later.change > loaded.change
            assert backend.load_heads(later.change).heads == ()
            assert loaded.store_id == later.store_id != ""
        finally:
            backend.close()

    def test_wait_returns_in_time_and_at_close(self, tmp_path: Path) -> None:
        """A timeout is kept; closing ends a wait in another thread; closing twice is safe."""
        backend = self.open_raw(self.url(tmp_path))
        start = time.monotonic()
        backend.wait(0.05)
        assert time.monotonic() - start < 5.0
        thread = threading.Thread(target=lambda: quietly(lambda: backend.wait(60.0)))
        thread.start()
        time.sleep(0.05)
        backend.close()
        thread.join(10.0)
        assert not thread.is_alive()
        backend.close()
