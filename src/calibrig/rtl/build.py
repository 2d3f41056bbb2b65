"""From a model to a verilated card, once: builds are cached by the hash of everything that goes into them."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from calibrig.errors import CalibrigError, UnavailableError
from calibrig.parameters import SignalModel
from calibrig.rtl import core as core_module
from calibrig.rtl.core import Core, generate_core
from calibrig.rtl.manifest import Manifest, hash_file, verify_manifest, write_manifest
from calibrig.rtl.tools import cache_folder, find_compiler, find_verilator, shell_folder, tool_version

__all__ = [
    "ABI_VERSION",
    "DEFAULT_CLOCK_HZ",
    "LIBRARY",
    "build_card",
    "build_key",
    "card_cycles",
    "write_sources",
]

ABI_VERSION = 1
DEFAULT_CLOCK_HZ = (
    50_000_000  # below every timing report so far; `calibrig rtl timing` shows what the core can do
)
LIBRARY = "card.so"
_SHELL_CHECK_CLOCKS = 3  # CHECK_CLOCKS of calibrig_engine.sv
_VERILATE = ("--cc", "-Wall", "-Wno-DECLFILENAME", "-DCALIBRIG_FAULTS", "--top-module", "calibrig_card")
_COMPILE = ("-std=c++20", "-O1", "-fPIC")
_COMPILE_RUNTIME = _COMPILE  # compiled once for all models; -O0 saved 3 s and cost each clock 12 %
_SCRATCH = ".building-"
_LEFT_BEHIND_S = 86_400.0  # no build takes a day: what is older was left by a killed one
_RUNTIME = ("verilated.cpp", "verilated_threads.cpp")


def write_sources(
    model: SignalModel,
    folder: str | os.PathLike[str],
    *,
    stage_delay: float | None = None,
    clock_hz: int = DEFAULT_CLOCK_HZ,
) -> Manifest:
    """Write everything a synthesis flow needs into ``folder/rtl``, and the manifest beside it.

    Parameters
    ----------
    model : SignalModel
        Any kind.
    folder : path
        Made if it is not there; files of the same names are replaced.
    stage_delay : float, optional
        See `generate_core`.
    clock_hz : int
        Clock the card is to run at, Hz.

    Returns
    -------
    Manifest

    Examples
    --------
    >>> import tempfile
    >>> from calibrig.models.signal import reference_model
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     manifest = write_sources(reference_model(), folder)
    >>> manifest.kind, "rtl/calibrig_card.sv" in manifest.files
    ('linear', True)
    """
    core = generate_core(model, stage_delay=stage_delay)
    target = Path(folder)
    texts = _collect_sources(core)
    tools = {"da4ml": tool_version("da4ml"), "calibrig": tool_version("calibrig")}
    build_hash = _hash_of(model.content_hash, clock_hz, sorted(texts.items()), sorted(tools.items()))
    texts["calibrig_build.sv"] = _render_package(core, build_hash, clock_hz)
    (target / "rtl").mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (target / "rtl" / name).write_text(text)
    manifest = Manifest(
        model_hash=model.content_hash,
        build_hash=build_hash,
        abi_version=ABI_VERSION,
        kind=model.kind,
        feature_bits=model.feature_bits,
        output_fraction_bits=model.output_fraction_bits,
        core_stages=core.stages,
        core_cycles=core.cycles,
        card_cycles=card_cycles(core.stages),
        stage_delay=core.stage_delay,
        clock_hz=clock_hz,
        tools=tools,
        files={
            f"rtl/{name}": hashlib.sha256(text.encode()).hexdigest() for name, text in sorted(texts.items())
        },
    )
    write_manifest(target, manifest)
    return manifest


def build_card(
    model: SignalModel,
    *,
    cache: str | os.PathLike[str] | None = None,
    stage_delay: float | None = None,
    clock_hz: int = DEFAULT_CLOCK_HZ,
) -> Path:
    """Return the folder of the model's verilated card, building it unless the cache has it.

    Parameters
    ----------
    model : SignalModel
        Any kind.
    cache : path, optional
        Folder of builds; ``calibrig/rtl`` below the XDG cache by default.
    stage_delay, clock_hz
        See `write_sources`.

    Returns
    -------
    Path
        Holds ``rtl/``, ``card.so`` and ``manifest.json``.

    Raises
    ------
    MissingDependencyError
        The ``rtl`` extra is not installed.
    UnavailableError
        There is no C++ compiler, a tool failed (the message holds its last words), or the cache cannot be written.
    CorruptRecordError
        The cached build does not match its manifest or the model.
    MissingFileError
        The cached build has lost its manifest.
    """
    key = _card_key(model, stage_delay, clock_hz)
    final = cache_folder(cache) / key[:32]
    if not final.exists():
        with _make_scratch(final.parent) as scratch:
            made = scratch / "card"
            manifest = write_sources(model, made, stage_delay=stage_delay, clock_hz=clock_hz)
            _compile(made, final.parent)
            _seal(made, manifest)
            with suppress(OSError):  # another process was faster: its build is the same
                made.rename(final)
    verify_manifest(final, model)
    return final


def card_cycles(core_stages: int) -> int:
    """Clocks from the edge that takes a request to the edge after which its reply line stands.

    Examples
    --------
    >>> card_cycles(1), card_cycles(8)
    (4, 9)
    """
    return max(core_stages, _SHELL_CHECK_CLOCKS) + 1


def build_key(model: SignalModel, stage_delay: float | None) -> str:
    """Return the hash of what decides a build's sources: model, generator, shell."""
    shell = sorted((path.name, path.read_bytes()) for path in _shell_files())
    generator = Path(core_module.__file__).read_bytes()
    tools = [tool_version(name) for name in ("da4ml", "calibrig")]
    return _hash_of(model.content_hash, stage_delay, shell, generator, tools)


def _card_key(model: SignalModel, stage_delay: float | None, clock_hz: int) -> str:
    harness = _harness().read_bytes()
    return _hash_of(
        build_key(model, stage_delay), clock_hz, tool_version("verilator"), harness, _compiler_id()
    )


def _hash_of(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _shell_files() -> list[Path]:
    return sorted(shell_folder().glob("*.sv"))


def _harness() -> Path:
    return shell_folder().parent / "emulator" / "card.cpp"


def _compiler_id() -> str:
    answer = _run([find_compiler(), "--version"], what="the C++ compiler")
    return " ".join([platform.machine(), *_COMPILE, answer.splitlines()[0]])


def _collect_sources(core: Core) -> dict[str, str]:
    return {**{path.name: path.read_text() for path in _shell_files()}, **core.sources}


def _render_package(core: Core, build_hash: str, clock_hz: int) -> str:
    model = core.model
    return (
        f"// Constants of one build, model {model.content_hash}\n"
        "package calibrig_build;\n"
        f"    localparam logic [31:0] MODEL_ID = 32'h{model.content_hash[:8]};\n"
        f"    localparam logic [31:0] BUILD_ID = 32'h{build_hash[:8]};\n"
        f"    localparam logic [31:0] CLOCK_HZ = 32'd{clock_hz};\n"
        f"    localparam int unsigned CORE_STAGES = {core.stages};\n"
        f"    localparam int unsigned FEATURE_BITS = {model.feature_bits};\n"
        "endpackage\n"
    )


@contextmanager
def _make_scratch(cache: Path) -> Iterator[Path]:
    """Make a folder for one build beside the finished ones, and remove it and what killed builds left behind."""
    try:
        cache.mkdir(parents=True, exist_ok=True)
        for left in cache.glob(f"{_SCRATCH}*"):
            with suppress(FileNotFoundError):  # another build has just finished with it
                if time.time() - left.stat().st_mtime > _LEFT_BEHIND_S:
                    shutil.rmtree(left, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix=_SCRATCH, dir=cache, ignore_cleanup_errors=True) as scratch:
            yield Path(scratch)
    except CalibrigError:
        raise
    except OSError as error:
        raise UnavailableError(
            f"cannot keep builds in {cache}: {error.strerror} ({error.filename}); give another folder with --cache or XDG_CACHE_HOME"
        ) from error


def _compile(folder: Path, cache: Path) -> None:
    home = find_verilator()
    package = folder / "rtl" / "calibrig_build.sv"
    sources = [package, *sorted(path for path in (folder / "rtl").iterdir() if path != package)]
    made = folder / "verilated"
    environment = {**os.environ, "VERILATOR_ROOT": str(home)}
    command = [
        str(home / "bin" / "verilator_bin"),
        *_VERILATE,
        "-O3",
        "--x-assign",
        "fast",
        "--x-initial",
        "fast",
    ]
    _run([*command, "--Mdir", str(made), *map(str, sources)], what="Verilator", environment=environment)
    includes = [f"-I{made}", f"-I{home / 'include'}", f"-I{home / 'include' / 'vltstd'}"]
    unit = _join(made / "card.cc", [*sorted(made.glob("*.cpp")), _harness()])
    runtime = _compile_runtime(home, cache, includes[1:])
    command = [find_compiler(), *_COMPILE, "-shared", *includes, "-o", str(folder / LIBRARY)]
    _run([*command, str(unit), str(runtime), "-lpthread"], what="the C++ compiler")
    shutil.rmtree(made)


def _join(unit: Path, sources: Sequence[Path]) -> Path:
    """Make one unit of many sources: Verilator's headers take the compiler longer than most of its files."""
    unit.write_text("".join(f'#include "{source}"\n' for source in sources))
    return unit


def _compile_runtime(home: Path, cache: Path, includes: Sequence[str]) -> Path:
    """Compile Verilator's runtime once for all models."""
    key = _hash_of(_compiler_id(), _COMPILE_RUNTIME, tool_version("verilator"), _RUNTIME)[:16]
    final = cache / f"runtime-{key}.o"
    if not final.exists():
        with _make_scratch(cache) as scratch:
            made = scratch / "runtime.o"
            unit = _join(scratch / "runtime.cc", [home / "include" / name for name in _RUNTIME])
            command = [find_compiler(), *_COMPILE_RUNTIME, "-c", *includes, "-o", str(made)]
            _run([*command, str(unit)], what="the C++ compiler")
            made.replace(final)
    return final


def _seal(folder: Path, manifest: Manifest) -> None:
    tools = {
        **manifest.tools,
        "verilator": tool_version("verilator"),
        "compiler": _compiler_id(),
    }
    files = {**manifest.files, LIBRARY: hash_file(folder / LIBRARY)}
    fields = {name: getattr(manifest, name) for name in manifest.__struct_fields__}
    write_manifest(folder, Manifest(**{**fields, "tools": tools, "files": files}))


def _run(command: Sequence[str], *, what: str, environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode != 0:
        words = (done.stderr or done.stdout).strip().splitlines()[-6:]
        raise UnavailableError(
            f"{what} failed with exit code {done.returncode}: {' | '.join(words) or 'it said nothing'}"
        )
    return done.stdout
