"""Builds: exact against the twin, cached by content, refused when anything differs."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from calibrig.errors import CorruptRecordError, MissingFileError, UnavailableError
from calibrig.models.signal import reference_model
from calibrig.parameters import SignalModel
from calibrig.rtl import (
    SimulatedCard,
    build_card,
    read_manifest,
    sample_network,
    sample_trees,
    verify_exactness,
    verify_manifest,
    write_sources,
)
from calibrig.rtl import build as build_module


def test_trees_agree_four_ways(trees: SignalModel, trees_build: Path, build_cache: Path) -> None:
    report = verify_exactness(trees, n_vectors=20_000, cache=build_cache)
    assert report.exact, report
    assert report.distinct_answers > 1000
    cycles = read_manifest(trees_build).card_cycles
    assert report.cycles == (cycles, cycles)


@pytest.mark.slow
def test_a_network_agrees_four_ways(build_cache: Path) -> None:
    report = verify_exactness(sample_network(seed=1, weight_bits=3), n_vectors=10_000, cache=build_cache)
    assert report.exact, report
    assert report.distinct_answers > 1000


@pytest.mark.system
def test_a_linear_model_of_36_bits_agrees_four_ways(build_cache: Path) -> None:
    model = SignalModel(
        feature_offset=(0.0,) * 16,
        feature_scale=(1.0,) * 16,
        weights=tuple(range(-32767, -32767 + 16 * 4000, 4000)),
        bias=2**31,
        output_fraction_bits=30,
    )
    report = verify_exactness(model, n_vectors=10_000, cache=build_cache)
    assert report.exact, report
    assert report.distinct_answers > 1000


def test_a_second_build_is_the_cached_one(trees: SignalModel, trees_build: Path, build_cache: Path) -> None:
    before = (trees_build / "card.so").stat().st_mtime_ns
    assert build_card(trees, cache=build_cache) == trees_build
    assert (trees_build / "card.so").stat().st_mtime_ns == before


def copy_build(build: Path, to: Path) -> Path:
    return Path(shutil.copytree(build, to / "copy"))


def test_a_changed_library_is_refused(trees_build: Path, tmp_path: Path) -> None:
    copy = copy_build(trees_build, tmp_path)
    with (copy / "card.so").open("r+b") as file:
        file.seek(100)
        byte = file.read(1)
        file.seek(100)
        file.write(bytes([byte[0] ^ 1]))
    with pytest.raises(CorruptRecordError, match=r"card\.so.*build again"):
        SimulatedCard(copy)


def test_another_models_build_is_refused(trees_build: Path) -> None:
    with pytest.raises(CorruptRecordError, match="was built from model"):
        SimulatedCard(trees_build, sample_trees(seed=99))


def test_a_cached_build_of_a_wrong_model_is_refused(
    trees: SignalModel, trees_build: Path, tmp_path: Path
) -> None:
    """The folder carries the right key and another model's manifest: a copy gone wrong."""
    cache = tmp_path / "cache"
    cache.mkdir()
    copy = cache / trees_build.name
    copy_build(trees_build, tmp_path).rename(copy)
    manifest = read_manifest(copy)
    wrong = msgspec.structs.replace(manifest, model_hash="0" * 64)
    (copy / "manifest.json").write_bytes(msgspec.json.encode(wrong))
    with pytest.raises(CorruptRecordError, match="was built from model"):
        build_card(trees, cache=cache)


def test_a_cached_build_that_lost_a_file_is_refused(
    trees: SignalModel, trees_build: Path, tmp_path: Path
) -> None:
    copy = copy_build(trees_build, tmp_path).rename(tmp_path / trees_build.name)
    (copy / "card.so").unlink()
    with pytest.raises(CorruptRecordError, match=r"card\.so is missing; delete .* and build again"):
        build_card(trees, cache=tmp_path)
    (copy / "manifest.json").unlink()
    with pytest.raises(MissingFileError, match="no complete build; delete the folder and build again"):
        build_card(trees, cache=tmp_path)


def test_a_folder_without_manifest_and_a_broken_manifest(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="no complete build; delete the folder and build again"):
        verify_manifest(tmp_path)
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(CorruptRecordError, match="is no manifest"):
        verify_manifest(tmp_path)


def make_tool(folder: Path, name: str, script: str) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def test_a_failing_compiler_is_one_clear_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = 'case "$1" in --version) echo broken 1.0;; *) echo "internal compiler error" >&2; exit 4;; esac'
    monkeypatch.setenv("CXX", str(make_tool(tmp_path, "broken", script)))
    with pytest.raises(UnavailableError, match=r"exit code 4: internal compiler error"):
        build_card(reference_model(), cache=tmp_path / "cache")
    left = [path.name for path in (tmp_path / "cache").iterdir()]
    assert left == [], "nothing half-made stays in the cache"


def test_a_compiler_that_fails_in_silence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", str(make_tool(tmp_path, "silent", "exit 1")))
    with pytest.raises(UnavailableError, match=r"exit code 1: it said nothing"):
        build_card(reference_model(), cache=tmp_path / "cache")


def test_a_cache_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UnavailableError, match=r"cannot keep builds in .*file/cache: .*XDG_CACHE_HOME"):
        build_card(reference_model(), cache=tmp_path / "file" / "cache")


def test_of_two_builds_at_once_the_first_stays(
    trees: SignalModel, trees_build: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While this build compiles, another process finishes the same one: copied here at that very moment."""

    def compile_and_be_overtaken(folder: Path, cache: Path) -> None:
        (folder / "card.so").write_bytes(b"the slower one")
        shutil.copytree(trees_build, cache / trees_build.name)

    monkeypatch.setattr(build_module, "_compile", compile_and_be_overtaken)
    made = build_card(trees, cache=tmp_path)
    assert (made / "card.so").read_bytes() == (trees_build / "card.so").read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == [trees_build.name], "and nothing half-made"


@pytest.mark.slow
def test_a_build_killed_half_way_is_built_again_and_swept_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, marker = tmp_path / "cache", tmp_path / "compiling"
    script = f'case "$1" in --version) echo slow 1.0;; *) echo $$ > {marker}.part; mv {marker}.part {marker}; exec sleep 600;; esac'
    program = (
        "from calibrig.models.signal import reference_model; from calibrig.rtl import build_card; "
        f"build_card(reference_model(), cache={str(cache)!r})"
    )
    environment = {**os.environ, "CXX": str(make_tool(tmp_path, "slow", script))}
    with subprocess.Popen([sys.executable, "-c", program], env=environment) as builder:
        while not marker.exists():
            assert builder.poll() is None, "it ended before it compiled"
            time.sleep(0.01)
        builder.kill()
    os.kill(int(marker.read_text()), signal.SIGKILL)
    left = list(cache.iterdir())
    assert left
    assert all(path.name.startswith(".building-") for path in left)
    for path in left:
        os.utime(path, (0, 0))  # long ago
    report = verify_exactness(reference_model(), n_vectors=500, cache=cache)
    assert report.exact
    assert not list(cache.glob(".building-*"))


def test_no_compiler_names_what_was_tried(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(UnavailableError, match=r"tried CXX, c\+\+, g\+\+, clang\+\+"):
        build_card(reference_model(), cache=tmp_path)


def test_sources_are_complete_and_carry_the_hashes(tmp_path: Path) -> None:
    model = reference_model()
    manifest = write_sources(model, tmp_path, clock_hz=125_000_000)
    assert verify_manifest(tmp_path, model) == manifest
    package = (tmp_path / "rtl" / "calibrig_build.sv").read_text()
    assert f"MODEL_ID = 32'h{model.model_id:08x}" in package
    assert f"BUILD_ID = 32'h{manifest.build_id:08x}" in package
    assert "CLOCK_HZ = 32'd125000000" in package
    assert {path.name for path in (tmp_path / "rtl").iterdir()} == {
        Path(name).name for name in manifest.files
    }
