"""Verilate the card with line coverage, run rtl/tests/shell_checks.py in it by cocotb, and read the coverage."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest

from calibrig.rtl import sample_trees, write_sources
from calibrig.rtl.tools import find_compiler, find_verilator

REPOSITORY = Path(__file__).parents[2]
CHECKS = REPOSITORY / "rtl" / "tests" / "shell_checks.py"
SHELL = ("calibrig_registers.sv", "calibrig_engine.sv", "calibrig_faults.sv", "calibrig_card.sv")


def run(command: list[str], **options: object) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload]
    assert done.returncode == 0, f"{command[0]}: {done.stderr[-3000:]}{done.stdout[-3000:]}"


def verilate(folder: Path) -> Path:
    """Build the simulator without make and perl: Verilator, then one line of the compiler."""
    import cocotb_tools.config as cocotb_config

    home = find_verilator()
    control = folder / "public.vlt"
    control.write_text('`verilator_config\npublic_flat_rw -module "calibrig_card" -var "*"\n')
    package = folder / "rtl" / "calibrig_build.sv"
    sources = [package, *sorted(path for path in (folder / "rtl").iterdir() if path != package)]
    options = ["--cc", "--vpi", "--prefix", "Vtop", "--top-module", "calibrig_card", "--coverage-line"]
    options += ["-DCALIBRIG_FAULTS", "-Wno-fatal", "--timescale", "1ns/1ps", "--x-assign", "unique"]
    made = folder / "verilated"
    run(
        [
            str(home / "bin" / "verilator_bin"),
            *options,
            "--Mdir",
            str(made),
            str(control),
            *map(str, sources),
        ],
        env={**os.environ, "VERILATOR_ROOT": str(home)},
    )
    libraries = cocotb_config.libs_dir
    runtime = [f"verilated{part}.cpp" for part in ("", "_vpi", "_dpi", "_cov", "_threads")]
    program = made / "simulator"
    run(
        [
            *(find_compiler(), "-std=c++20", "-O0", "-DVM_COVERAGE=1", "-DVM_TRACE=0"),
            *(f"-I{made}", f"-I{home}/include", f"-I{home}/include/vltstd", "-o", str(program)),
            *map(str, sorted(made.glob("*.cpp"))),
            str(cocotb_config.share_dir / "lib" / "verilator" / "verilator.cpp"),
            *(f"{home}/include/{name}" for name in runtime),
            *(f"-Wl,-rpath,{libraries}", f"-L{libraries}", "-lcocotbvpi_verilator", "-lpthread"),
        ]
    )
    return program


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of one run: results.xml and coverage.dat."""
    pytest.importorskip("cocotbext.axi")
    import cocotb_tools.config as cocotb_config
    import find_libpython

    folder = tmp_path_factory.mktemp("shell")
    model = sample_trees(seed=8, n_trees=3, depth=2)
    write_sources(model, folder, clock_hz=125_000_000)
    (folder / "model.json").write_bytes(msgspec.json.encode(model))
    program = verilate(folder)
    environment = {
        **os.environ,
        "CALIBRIG_BUILD": str(folder),
        "PYTHONPATH": os.pathsep.join([str(CHECKS.parent), *sys.path]),
        "PYGPI_PYTHON_BIN": sys.executable,
        "GPI_USERS": f"{find_libpython.find_libpython()};{cocotb_config.pygpi_entry_point()}",
        "COCOTB_TEST_MODULES": CHECKS.stem,
        "COCOTB_TOPLEVEL": "calibrig_card",
        "TOPLEVEL_LANG": "verilog",
        "COCOTB_RESULTS_FILE": str(folder / "results.xml"),
        "COCOTB_TRUST_INERTIAL_WRITES": "1",
        "COCOTB_LOG_LEVEL": "WARNING",
    }
    done = subprocess.run(
        [str(program)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=900,  # seconds where nothing else runs; a hang, not a slow machine, must end it
        check=False,
    )
    assert (folder / "results.xml").exists(), done.stderr[-3000:] + done.stdout[-3000:]
    (folder / "log.txt").write_text(done.stdout + done.stderr)
    return folder


def declared_checks() -> list[str]:
    return re.findall(r"@cocotb\.test\(.*\)\nasync def (\w+)", CHECKS.read_text())


@pytest.mark.parametrize("name", declared_checks())
def test_check(name: str, results: Path) -> None:
    cases = {case.get("name"): case for case in ElementTree.parse(results / "results.xml").iter("testcase")}
    assert set(cases) == set(declared_checks()), "every check ran"
    failed = [*cases[name].iter("failure"), *cases[name].iter("error")]
    assert not failed, (results / "log.txt").read_text()[-6000:]


def line_coverage(data: str) -> dict[str, tuple[int, int]]:
    """Points hit and points in all, by file of the shell."""
    found: dict[str, tuple[int, int]] = {}
    for point, count in re.findall(r"^C '(.*)' (\d+)$", data, re.MULTILINE):
        file = re.search(r"\x01f\x02([^\x01]*)", point)
        name = Path(file[1]).name if file else ""
        if name in SHELL:
            hit, total = found.get(name, (0, 0))
            found[name] = (hit + (int(count) > 0), total + 1)
    return found


def test_every_line_of_the_shell_is_run(results: Path, record_property: pytest.FixtureRequest) -> None:
    coverage = line_coverage((results / "coverage.dat").read_text())
    for name, (hit, total) in coverage.items():
        record_property(name, f"{hit}/{total}")  # type: ignore[operator]
    assert set(coverage) >= {"calibrig_registers.sv", "calibrig_engine.sv", "calibrig_faults.sv"}
    assert all(hit == total for hit, total in coverage.values()), coverage
