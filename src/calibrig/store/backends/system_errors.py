"""What a failed system call means for the caller: the file and the next step."""

from __future__ import annotations

import errno
from pathlib import Path

from calibrig.errors import RefusedError, StoreError

__all__ = ["translate_os_error"]


def translate_os_error(error: OSError, path: Path) -> StoreError:
    """Return the typed error for a failed system call, with the file and the next step."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return StoreError(
            f"the disk that holds {path} is full; nothing was written: free space and try again"
        )
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return RefusedError(
            f"{path} cannot be opened or written by this user ({error.strerror}); check owner and mode"
        )
    if error.errno in {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG}:
        return StoreError(f"{path} cannot be made or opened ({error.strerror}); give another path")
    return StoreError(f"{path}: {error.strerror or error}")
