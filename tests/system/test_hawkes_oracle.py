"""The fast likelihood against base R, which shares no line with it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from calibrig import HawkesParameters, simulate_hawkes
from calibrig.models.hawkes_likelihood import gradient, log_likelihood

pytestmark = pytest.mark.system
SCRIPT = Path(__file__).with_name("hawkes_oracle.R")
THETAS = [(1.0, 0.3, 0.1, 0.5, 2.0), (1.3, 0.21, 0.15, 1.0, 2.2), (0.5, 0.033, 0.033, 0.05, 1.2)]
NAMES = ("lambda_base", "alpha_self", "alpha_cross", "beta", "gamma")


def test_r_agrees(tmp_path: Path) -> None:
    rscript = shutil.which("Rscript")
    if rscript is None:
        pytest.skip("Rscript is not installed (Debian: r-base-core)")
    truth = HawkesParameters(**dict(zip(NAMES, THETAS[0], strict=True)))
    end_ns = 120 * 10**9
    time_ns, side = simulate_hawkes(truth, sessions=[(0, end_ns)], seed=17)
    rows = [
        f"{t * 1e-9:.9f},{0 if s > 0 else 1}" for t, s in zip(time_ns.tolist(), side.tolist(), strict=True)
    ]
    (tmp_path / "events.csv").write_text("time_s,side\n" + "\n".join(rows) + "\n")
    lines = [",".join(str(x) for x in theta) for theta in THETAS]
    (tmp_path / "theta.csv").write_text(",".join(NAMES) + "\n" + "\n".join(lines) + "\n")
    done = subprocess.run(
        [rscript, "--vanilla", str(SCRIPT), str(tmp_path / "events.csv"), str(tmp_path / "theta.csv"), "120"],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    for theta, line in zip(THETAS, done.stdout.strip().splitlines(), strict=True):
        value, *slope = (float(x) for x in line.split())
        p = HawkesParameters(**dict(zip(NAMES, theta, strict=True)))
        assert log_likelihood(p, time_ns, side, sessions=[(0, end_ns)]) == pytest.approx(value, abs=1e-7)
        mine = list(gradient(p, time_ns, side, sessions=[(0, end_ns)]).values())[:5]
        assert np.array(mine) == pytest.approx(np.array(slope), rel=1e-6)
