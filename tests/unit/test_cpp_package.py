"""C++ users: installed headers, find_package(calibrig), the bridge example of the source document; and what the
kernels' objects may share with each other."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from calibrig import HardwareInTheLoopBridge, MicrostructureFeatures, _native
from calibrig.models.signal import reference_model

PACKAGE = Path(_native.__file__).parent
EXAMPLE = Path(__file__).parents[2] / "examples" / "cpp"


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_find_package_builds_and_runs_the_example(tmp_path: Path) -> None:
    cmake = shutil.which("cmake")
    if cmake is None or shutil.which("c++") is None:
        pytest.skip("needs cmake and a C++ compiler")
    generator = ["-G", "Ninja"] if shutil.which("ninja") else []
    run(
        cmake, *generator, "-S", str(EXAMPLE), "-B", str(tmp_path), f"-DCMAKE_PREFIX_PATH={PACKAGE}",
        "-DCMAKE_CXX_FLAGS=-Wall -Wextra -Werror",
    )  # fmt: skip
    run(cmake, "--build", str(tmp_path))
    lines = run(str(tmp_path / "trading_loop")).splitlines()
    assert lines[0] == "this mode needs a device; give one, or use software_stub"
    assert lines[1].startswith("count 1000 p50 400 sla 1 position ")
    with HardwareInTheLoopBridge() as bridge:
        bridge.initialize()
        assert float(lines[2].split()[1]) == bridge.predict(MicrostructureFeatures(depth_imbalance=0.5))


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
