"""What this machine offers to a bridge, what that means for latency, and what to change."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import msgspec

from calibrig import _native  # noqa: TID251
from calibrig._native import bridge as _core  # noqa: TID251
from calibrig._native import signal as _kernels  # noqa: TID251
from calibrig.bridge.soak import measure_stall_ns

__all__ = ["Finding", "examine_machine"]

_FPGA_VENDORS = {"0x10ee": "AMD/Xilinx", "0x1172": "Intel/Altera", "0x1b59": "Achronix"}
_DEVICE_FILES = ("xdma*_user", "uio*", "vfio/[0-9]*")
_STALL_LIMIT_NS = 100_000


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One fact about the machine.

    Attributes
    ----------
    name, value : str
    good : bool
        Whether it is as a trading machine should have it.
    meaning : str
        What it means for latency.
    remedy : str
        What to change; empty where nothing needs to be.
    """

    name: str
    value: str
    good: bool
    meaning: str
    remedy: str = ""


def examine_machine(*, stall_s: float = 1.0) -> list[Finding]:
    """Look at processor, clock, cores, memory, permissions and devices, and measure the machine's own stalls.

    Parameters
    ----------
    stall_s : float
        How long to watch for stalls.

    Examples
    --------
    >>> [finding.name for finding in examine_machine(stall_s=0.01)][:2]
    ['instruction set', 'clock']
    """
    return [
        _examine_instructions(),
        _examine_clock(),
        *_examine_cores(),
        _examine_huge_pages(),
        _examine_shared_memory(),
        _examine_locked_memory(),
        _examine_devices(),
        _examine_stalls(stall_s),
    ]


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _examine_instructions() -> Finding:
    available, used = _kernels.available_isas(), _native.isa()
    return Finding(
        name="instruction set",
        value=f"{used} of {', '.join(available)}",
        good=used == available[-1] and used != "baseline",
        meaning="which kernels predict; every set gives the same bits, the network takes about ten times as long on baseline",
        remedy=""
        if used == available[-1]
        else "CALIBRIG_ISA lowers it; unset it to use the best set of the processor",
    )


def _examine_clock() -> Finding:
    tsc, ticks_per_ns, overhead_ns = _core.clock()
    return Finding(
        name="clock",
        value=f"time-stamp counter, {ticks_per_ns:.3f} GHz, {overhead_ns} ns a reading"
        if tsc
        else "steady clock",
        good=tsc,
        meaning="the cost of a reading is taken out of each latency; the steady clock costs about 40 ns a call",
        remedy=""
        if tsc
        else "the counter is not invariant (or CALIBRIG_CLOCK=steady is set); use a machine where it is",
    )


def _examine_cores() -> list[Finding]:
    allowed = sorted(os.sched_getaffinity(0))
    isolated = _read("/sys/devices/system/cpu/isolated")
    governors = {_read(f"/sys/devices/system/cpu/cpu{core}/cpufreq/scaling_governor") for core in allowed} - {
        ""
    }
    findings = [
        Finding(
            name="cores",
            value=f"{len(allowed)} usable, isolated: {isolated or 'none'}",
            good=bool(isolated),
            meaning="a predicting thread that shares its core is descheduled for milliseconds now and then",
            remedy=""
            if isolated
            else "boot with isolcpus=, nohz_full= and rcu_nocbs= for one core and pin to it (taskset)",
        )
    ]
    if governors:
        findings.append(
            Finding(
                name="frequency governor",
                value=", ".join(sorted(governors)),
                good=governors == {"performance"},
                meaning="other governors let the clock sink between bursts",
                remedy="" if governors == {"performance"} else "cpupower frequency-set -g performance",
            )
        )
    return findings


def _examine_huge_pages() -> Finding:
    free = next(
        (
            line.split()[1]
            for line in _read("/proc/meminfo").splitlines()
            if line.startswith("HugePages_Free")
        ),
        "0",
    )
    mounts = [line.split()[1] for line in _read("/proc/mounts").splitlines() if " hugetlbfs " in line]
    good = int(free) > 0 and bool(mounts)
    return Finding(
        name="huge pages",
        value=f"{free} free, mounted at {', '.join(mounts) or 'nothing'}",
        good=good,
        meaning="a card's shared lines on a huge page never miss the TLB; DMA wants pages that stay",
        remedy="" if good else "sysctl vm.nr_hugepages=16 and mount -t hugetlbfs none /dev/hugepages",
    )


def _examine_shared_memory() -> Finding:
    writable = os.access("/dev/shm", os.W_OK)
    return Finding(
        name="shared memory",
        value="/dev/shm is writable" if writable else "/dev/shm cannot be written",
        good=writable,
        meaning="shm: devices and `bridge status` live there",
        remedy="" if writable else "mount a tmpfs at /dev/shm, or name other files in the URLs",
    )


def _examine_locked_memory() -> Finding:
    soft, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    good = soft == resource.RLIM_INFINITY or soft >= 64 << 20
    return Finding(
        name="locked memory",
        value="unlimited" if soft == resource.RLIM_INFINITY else f"{soft >> 10} KiB",
        good=good,
        meaning="buffers for DMA must be locked",
        remedy="" if good else "raise memlock in limits.conf (or LimitMEMLOCK= of the unit) to unlimited",
    )


def _examine_devices() -> Finding:
    found = []
    for vendor_file in sorted(Path("/sys/bus/pci/devices").glob("*/vendor")):
        vendor = _FPGA_VENDORS.get(_read(str(vendor_file)))
        if vendor:
            found.append(f"{vendor_file.parent.name} {vendor}")
    for pattern in _DEVICE_FILES:
        for path in sorted(Path("/dev").glob(pattern)):
            access = "" if os.access(path, os.R_OK | os.W_OK) else " (no permission)"
            found.append(f"{path}{access}")
    denied = any("no permission" in entry for entry in found)
    return Finding(
        name="cards",
        value=", ".join(found) or "none",
        good=bool(found) and not denied,
        meaning="HARDWARE_FPGA and HYBRID_FALLBACK need one; SOFTWARE_STUB and shm: need none",
        remedy="add a udev rule that gives the trading user the device" if denied else "",
    )


def _examine_stalls(duration_s: float) -> Finding:
    stall_ns = measure_stall_ns(duration_s)
    good = stall_ns <= _STALL_LIMIT_NS
    return Finding(
        name="stall floor",
        value=f"{stall_ns / 1000:.1f} us in {duration_s:g} s",
        good=good,
        meaning="the longest pause of a loop that only reads the clock: no call's maximum can be promised below it",
        remedy="" if good else "isolate and pin a core; look for neighbours on this machine",
    )
