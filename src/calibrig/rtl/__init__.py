"""From a signal model to a card: Verilog, card shell, verilated builds, timing. Needs the extra ``rtl``."""

from calibrig.rtl.build import build_card, write_sources
from calibrig.rtl.core import Core, generate_core
from calibrig.rtl.manifest import Manifest, read_manifest, verify_manifest
from calibrig.rtl.samples import sample_network, sample_trees
from calibrig.rtl.simulated_card import SimulatedCard
from calibrig.rtl.timing import TimingReport, known_clock_hz, measure_timing
from calibrig.rtl.verification import ExactnessReport, make_vectors, verify_exactness

__all__ = [
    "Core",
    "ExactnessReport",
    "Manifest",
    "SimulatedCard",
    "TimingReport",
    "build_card",
    "generate_core",
    "known_clock_hz",
    "make_vectors",
    "measure_timing",
    "read_manifest",
    "sample_network",
    "sample_trees",
    "verify_exactness",
    "verify_manifest",
    "write_sources",
]
