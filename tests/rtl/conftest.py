"""One folder of builds per test run: each verilated card is compiled once."""

from __future__ import annotations

from pathlib import Path

import pytest

from calibrig.parameters import SignalModel
from calibrig.rtl import SimulatedCard, build_card, sample_trees


@pytest.fixture(scope="session")
def build_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rtl-cache")


@pytest.fixture(scope="session")
def trees() -> SignalModel:
    return sample_trees(seed=3)


@pytest.fixture(scope="session")
def trees_build(trees: SignalModel, build_cache: Path) -> Path:
    return build_card(trees, cache=build_cache)


@pytest.fixture
def card(trees: SignalModel, trees_build: Path):
    with SimulatedCard(trees_build, trees) as opened:
        yield opened
