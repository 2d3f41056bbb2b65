"""C++ users: installed headers, find_package(calibrig), the examples of the source document for both components; and
what the kernels' objects may share with each other."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from calibrig import (
    AvellanedaStoikov,
    HardwareInTheLoopBridge,
    HawkesEngine,
    MicrostructureFeatures,
    ModelStore,
    _native,
)
from calibrig.models.signal import reference_model
from calibrig.store import block_path, read_applied
from calibrig.testing.store import HAWKES, QUOTING, RISK

PACKAGE = Path(_native.__file__).parent
EXAMPLE = Path(__file__).parents[2] / "examples" / "cpp"


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the examples with find_package(calibrig); return where they are."""
    cmake = shutil.which("cmake")
    if cmake is None or shutil.which("c++") is None:
        pytest.skip("needs cmake and a C++ compiler")
    folder = tmp_path_factory.mktemp("cpp")
    generator = ["-G", "Ninja"] if shutil.which("ninja") else []
    run(
        cmake, *generator, "-S", str(EXAMPLE), "-B", str(folder), f"-DCMAKE_PREFIX_PATH={PACKAGE}",
        "-DCMAKE_CXX_FLAGS=-Wall -Wextra -Werror",
    )  # fmt: skip
    run(cmake, "--build", str(folder))
    return folder


@pytest.mark.slow
def test_find_package_builds_and_runs_the_example(built: Path) -> None:
    lines = run(str(built / "trading_loop")).splitlines()
    assert lines[0] == "this mode needs a device; give one, or use software_stub"
    assert lines[1].startswith("count 1000 p50 400 sla 1 position ")
    with HardwareInTheLoopBridge() as bridge:
        bridge.initialize()
        assert float(lines[2].split()[1]) == bridge.predict(MicrostructureFeatures(depth_imbalance=0.5))


@pytest.mark.slow
def test_a_cpp_loop_reads_the_store_that_python_shares(built: Path, tmp_path: Path) -> None:
    """Numbers equal those of the Python models on the same records; an update and the store's end are seen."""
    program, applied = str(built / "store_loop"), tmp_path / "applied"
    missing = subprocess.run(
        [program, str(tmp_path / "a.db"), "A"], capture_output=True, text=True, check=False
    )
    assert missing.returncode == 1
    assert "run: calibrig store share" in missing.stderr
    with ModelStore(f"sqlite:///{tmp_path}/a.db") as store:
        store.publish("A", {"hawkes": HAWKES, "quoting": QUOTING, "risk": RISK}, "anna", "first")
        store.share(block_path(f"sqlite:///{tmp_path}/a.db") or "")
        with subprocess.Popen(
            [program, f"{tmp_path}/a.db", "A", str(applied)], stdout=subprocess.PIPE, text=True
        ) as loop:
            assert loop.stdout is not None
            assert loop.stdout.readline() == "version 1 by anna r2 0.87 samples 1200000\n"
            numbers = loop.stdout.readline().split()
            engine = HawkesEngine(HAWKES, session=(0, 86_400 * 10**9))
            engine.update(10**9, 1)
            assert [float(x) for x in numbers[1:3]] == pytest.approx(
                engine.compute_intensity(15 * 10**8), rel=1e-12
            )
            quotes = AvellanedaStoikov(QUOTING, inventory_limit=100.0).compute_quotes(100.0, 0.0)
            assert [int(x) for x in numbers[4:]] == [quotes.bid_ticks, quotes.ask_ticks]
            # both were stored by hand just now and never calibrated
            assert (
                loop.stdout.readline() == f"recalibrate {int(store.needs_recalibration('A', 7 * 86_400))}\n"
            )
            assert loop.stdout.readline() == "limit 100 of version 1\n"
            store.update_risk_parameters("A", {"max_position": 40}, "ben", "less")
            assert loop.stdout.readline() == "limit 40 of version 2\n"
            found = read_applied(applied)
            assert (found.symbol, found.versions, found.applied) == (
                "A",
                {"hawkes": 1, "quoting": 1, "risk": 2},
                2,
            )
            assert found.from_stamp["count"] == found.from_handover["count"] == 1
            assert 0 < found.from_handover["max"] <= found.from_stamp["max"]
            store.close()
            assert loop.stdout.readline() == "stale: no orders\n"
            assert loop.wait(timeout=10) == 0
    assert not applied.exists()  # it goes with the loop
    assert block_path(f"sqlite:///{tmp_path}/a.db").exists() is False  # type: ignore[union-attr]


@pytest.mark.slow
def test_the_source_documents_store_example_compiles_and_runs(tmp_path: Path) -> None:
    """Its main.cpp, with what it leaves open filled in; loose floats become the parameters object (design)."""
    source = Path(__file__).parents[3] / "shared" / "source.md"
    compiler = shutil.which("c++")
    if compiler is None or not source.exists():
        pytest.skip("needs a C++ compiler and the source document")
    text = source.read_text(encoding="utf-8")
    (example,) = re.findall(r"```cpp\n(#include \"model_store.hpp\".*?)```", text, re.DOTALL)
    left_open = {
        '#include "model_store.hpp"': '#include "model_store.hpp"\n#include <cstdio>\nusing namespace calibrig;\n'
        "static int running = 3;\nstatic void log_info(const std::string& t) { std::puts(t.c_str()); }\n"
        "static void log_error(const std::string& t) { std::puts(t.c_str()); }\n"
        "static void log_warning(const std::string& t) { std::puts(t.c_str()); }\n",
        "        as_params->gamma,\n        as_params->sigma,\n        as_params->kappa\n": "        *as_params\n",
        "while (running)": "while (running-- > 0)",
        "double intensity = hawkes.compute_intensity(...);": "double intensity = hawkes.compute_intensity(1)[0];",
        "market_maker.compute_quotes(...);": "market_maker.compute_quotes(9999, 10001, 0);\n"
        '        std::printf("%.6f %lld\\n", intensity, static_cast<long long>(quotes.bid));',
    }
    for wanted, given in left_open.items():
        assert example.count(wanted) == 1, wanted
        example = example.replace(wanted, given)
    (tmp_path / "main.cpp").write_text(example, encoding="utf-8")
    include = PACKAGE / "include" / "calibrig"
    program = tmp_path / "main"
    run(
        compiler, "-std=c++20", "-ffp-contract=off", f"-I{include}", str(tmp_path / "main.cpp"),
        str(PACKAGE / "lib" / "libcalibrig_kernels.a"), "-o", str(program), "-pthread",
    )  # fmt: skip
    (tmp_path / "config").mkdir()
    with ModelStore(tmp_path / "config" / "parameters.json") as store:
        store.publish("BTCUSDT", {"hawkes": HAWKES, "quoting": QUOTING, "risk": RISK}, "anna", "first")
        with store.share(tmp_path / "config" / "parameters.json.block"):
            lines = subprocess.run(
                [str(program)], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True
            ).stdout.splitlines()
    assert lines[1:6] == [
        "  R² = 0.870000", "  Samples = 1200000", "  Version = 1", "  Updated by = anna", "Loaded AS parameters:",
    ]  # fmt: skip
    assert lines[6:8] == ["  Sharpe = 2.500000", "  Backtest P&L = $1000.000000"]
    quotes = AvellanedaStoikov(QUOTING, inventory_limit=100.0).compute_quotes(100.0, 0.0)
    assert lines[-1] == f"2.500000 {quotes.bid_ticks}"  # no event yet: the baseline


def test_cpp_reference_model_is_the_packaged_one() -> None:
    model = reference_model()
    text = (PACKAGE / "include" / "calibrig" / "hardware_bridge.hpp").read_text()
    assert f"spec.model_id = 0x{model.model_id:08X};" in text
    weights = {index: weight for index, weight in enumerate(model.weights) if weight}
    assert weights == {1: 26214, 2: 13107, 3: 13107}
    assert "spec.weights[1] = 26214;" in text
    assert "spec.weights[2] = spec.weights[3] = 13107;" in text


def test_kernels_share_no_code_between_instruction_sets() -> None:
    """A weak symbol in an instruction-set object could be merged with another set's copy: there must be none
    outside the set's own namespace."""
    if shutil.which("nm") is None:
        pytest.skip("needs nm")
    archive = PACKAGE / "lib" / "libcalibrig_kernels.a"
    symbols = run("nm", "--defined-only", str(archive)).splitlines()
    weak = [line.split()[-1] for line in symbols if re.match(r"^[0-9a-f]+ [WVuwv] ", line)]
    own = re.compile(r"isa_(baseline|avx2|avx512)")
    assert len(symbols) > 10
    data_only = {"DW.ref.__gxx_personality_v0"}  # a pointer to the unwinder: no instructions in it
    assert [name for name in weak if not own.search(name) and name not in data_only] == []
