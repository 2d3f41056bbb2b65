"""A running bridge seen from another process, through the file it was given as ``status_path``."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from calibrig._native import bridge as _core  # noqa: TID251
from calibrig.bridge.health import (
    MODES,
    STATUSES,
    AcceleratorMode,
    HardwareStatus,
    StatusChange,
    decode_changes,
)
from calibrig.bridge.statistics import LatencyStats, make_stats, name_counts
from calibrig.errors import DeviceUnavailableError, FileFormatError

__all__ = ["BridgeSnapshot", "read_bridge_status"]


class BridgeSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """What a running bridge shows.

    Attributes
    ----------
    pid : int
        Process that runs the bridge.
    started_ns : int
        UTC.
    status : HardwareStatus
    mode : AcceleratorMode
    model_id : int
    device, roundtrip : LatencyStats
        Since the bridge was made; its own `reset_stats` does not show here.
    counts : mapping of str to int
    changes : tuple of StatusChange
        The last 256.
    """

    pid: int
    started_ns: int
    status: HardwareStatus
    mode: AcceleratorMode
    model_id: int
    device: LatencyStats
    roundtrip: LatencyStats
    counts: Mapping[str, int]
    changes: tuple[StatusChange, ...]


def read_bridge_status(path: str) -> BridgeSnapshot:
    """Read a running bridge's block; the bridge is not disturbed.

    Parameters
    ----------
    path : str
        The ``status_path`` that the bridge was made with.

    Raises
    ------
    DeviceUnavailableError
        No such file, or no permission: the bridge is not running, or runs as another user.
    FileFormatError
        The file is not a bridge's block of this version.

    Examples
    --------
    >>> import os, tempfile
    >>> from calibrig import HardwareInTheLoopBridge
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "bridge")
    ...     with HardwareInTheLoopBridge(status_path=path) as bridge:
    ...         bridge.initialize()
    ...         _ = bridge.predict([0.0] * 16)
    ...         snapshot = read_bridge_status(path)
    >>> snapshot.status, snapshot.device.count
    (<HardwareStatus.READY: 'READY'>, 1)
    """
    try:
        view = _core.BlockView(path)
    except FileNotFoundError as error:
        raise DeviceUnavailableError(
            f"no bridge shows itself at {path}; it is not running, or was made without status_path"
        ) from error
    except PermissionError as error:
        raise DeviceUnavailableError(
            f"no permission to read {path}; ask as the user that runs the bridge"
        ) from error
    except OSError as error:
        raise FileFormatError(f"{path} is not the block of a bridge of this version of calibrig") from error
    pid, started_ns, status, mode, model_id = view.header
    counts = name_counts(view.counts())
    failures, fallbacks = counts["failures"], counts["fallbacks"]
    return BridgeSnapshot(
        pid=pid,
        started_ns=started_ns,
        status=STATUSES[status],
        mode=MODES[mode],
        model_id=model_id,
        device=make_stats(view.histogram("device"), failures=failures, fallbacks=fallbacks),
        roundtrip=make_stats(view.histogram("roundtrip"), failures=failures, fallbacks=fallbacks),
        counts=counts,
        changes=tuple(decode_changes(view.changes(0))),
    )
