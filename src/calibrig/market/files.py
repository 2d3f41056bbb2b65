"""Which files and archive members a list of paths stands for, and their bytes."""

from __future__ import annotations

import gzip
import hashlib
import lzma
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from calibrig.errors import FileFormatError, MissingFileError

__all__ = ["Paths", "SourceFile", "list_sources"]

Paths = str | PathLike[str] | Iterable[str | PathLike[str]]
_IGNORED = (".checksum", ".md", ".npz")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFile:
    """One text to read: a file, or one member of a zip."""

    path: Path
    member: str = ""

    @property
    def label(self) -> str:
        """Name for messages: the path, with the member inside an archive."""
        return f"{self.path}!{self.member}" if self.member else str(self.path)

    @property
    def name(self) -> str:
        """Name of the innermost file without compression suffix, lower case."""
        name = (self.member.rsplit("/", 1)[-1] or self.path.name).lower()
        for suffix in (".gz", ".xz", ".zip"):
            name = name.removesuffix(suffix)
        return name

    def read_bytes(self) -> bytes:
        """Return the uncompressed content; refuse what is damaged or empty."""
        try:
            content = self._read()
        except (zipfile.BadZipFile, zlib.error, EOFError, lzma.LZMAError, gzip.BadGzipFile) as error:
            raise FileFormatError(
                f"{self.label} is damaged or cut off ({error}); fetch the file again"
            ) from error
        except (OSError, RuntimeError, NotImplementedError) as error:
            raise FileFormatError(
                f"{self.label} cannot be read ({error}); check the file and its rights"
            ) from error
        if not content.strip():
            raise FileFormatError(f"{self.label} is empty; remove it or fetch it again")
        return content.removeprefix(b"\xef\xbb\xbf")

    def _read(self) -> bytes:
        if self.member:
            with zipfile.ZipFile(self.path) as archive:
                return archive.read(self.member)
        suffix = self.path.suffix.lower()
        if suffix == ".gz":
            with gzip.open(self.path) as stream:
                return stream.read()
        if suffix == ".xz":
            with lzma.open(self.path) as stream:
                return stream.read()
        return self.path.read_bytes()


def list_sources(paths: Paths) -> list[SourceFile]:
    """Return every text behind ``paths``: files, folders (searched through) and members of zips, sorted.

    Parameters
    ----------
    paths : path or iterable of paths
        Files or folders.

    Returns
    -------
    list of SourceFile

    Raises
    ------
    MissingFileError
        A path that is not there, or a folder without files.
    FileFormatError
        A zip that is damaged or holds nothing.
    """
    given = [paths] if isinstance(paths, (str, PathLike)) else list(paths)
    if not given:
        raise MissingFileError("no path was given; name at least one file or folder")
    sources: list[SourceFile] = []
    seen: dict[Path, Path] = {}
    for path in given:
        for file in _files(Path(path)):
            _verify_checksum(file)
            resolved = file.resolve()
            if resolved in seen:
                raise FileFormatError(f"{file} is given twice; name each file once")
            seen[resolved] = file
            sources.extend(_members(file))
    return sources


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
        return
    if not path.is_dir():
        raise MissingFileError(f"{path} is not there; check the path")
    found = sorted(
        file
        for file in path.rglob("*")
        if file.is_file() and not file.name.startswith(".") and file.suffix.lower() not in _IGNORED
    )
    if not found:
        raise MissingFileError(f"{path} holds no data files; name a folder with tick files")
    yield from found


def _verify_checksum(file: Path) -> None:
    """Compare with the SHA-256 in ``<file>.CHECKSUM``, where there is one."""
    beside = file.with_name(file.name + ".CHECKSUM")
    if not beside.is_file():
        return
    expected = (beside.read_text(errors="replace").split() or [""])[0].lower()
    with file.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != expected:
        raise FileFormatError(
            f"{file} has the SHA-256 {found[:16]}..., its CHECKSUM file says {expected[:16]}...; fetch both again"
        )


def _members(file: Path) -> Iterator[SourceFile]:
    if file.suffix.lower() != ".zip":
        yield SourceFile(path=file)
        return
    try:
        with zipfile.ZipFile(file) as archive:
            names = [info.filename for info in archive.infolist() if not info.is_dir()]
    except (zipfile.BadZipFile, EOFError) as error:
        raise FileFormatError(f"{file} is damaged or cut off ({error}); fetch the file again") from error
    except OSError as error:
        raise FileFormatError(f"{file} cannot be read ({error}); check the file and its rights") from error
    if not names:
        raise FileFormatError(f"{file} is an archive without files; fetch it again")
    for name in sorted(names):
        yield SourceFile(path=file, member=name)
