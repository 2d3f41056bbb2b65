"""The plot is one well-formed SVG; the non-parametric kernel finds the planted one."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from calibrig import HawkesParameters, fit_hawkes, simulate_hawkes
from calibrig.calibration.hawkes_nonparametric import estimate_kernel
from calibrig.models.hawkes_events import prepare_events

HOUR = 3_600_000_000_000
TRUTH = HawkesParameters(alpha_self=0.3, alpha_cross=0.1, beta=0.5, gamma=2.0, lambda_base=0.5)


def test_plot_is_one_self_contained_svg(tmp_path: Path) -> None:
    session = [(0, 2 * HOUR)]
    fit = fit_hawkes(simulate_hawkes(TRUTH, sessions=session, seed=9), sessions=session)
    path = tmp_path / "fit.svg"
    fit.plot().save(path)
    root = ElementTree.fromstring(path.read_text())
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert "http" not in path.read_text().replace("http://www.w3.org/2000/svg", "")
    assert len(root.findall(".//{http://www.w3.org/2000/svg}rect")) == 4
    assert len(root.findall(".//{http://www.w3.org/2000/svg}circle")) > 100


def test_kernel_without_a_formula_finds_the_planted_one() -> None:
    session = [(0, 2 * HOUR)]
    events = prepare_events(
        *simulate_hawkes(TRUTH, sessions=session, seed=9), sessions=session, resolution_ns=1
    )
    estimate = estimate_kernel(events, shortest_s=0.2, longest_s=10.0, bins=6)
    planted = 0.3 * (0.5 + estimate.delay_s) ** -2.0
    # EM on 6,000 events: a few hundred children a bin, so 30 % is more than three standard errors
    assert np.all(np.abs(estimate.self_[1:5] / planted[1:5] - 1.0) < 0.3)
    assert np.all(estimate.self_[1:5] > estimate.cross[1:5])
