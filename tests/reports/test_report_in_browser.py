"""The report in a real browser: it opens offline, breaks no rule of its own policy, and shows its figures."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from report_sample import sample_content

from calibrig.reports import write_report

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.mark.system
@pytest.mark.skipif(BROWSER is None, reason="no Chromium on this system")
def test_a_browser_shows_the_report_offline(tmp_path: Path) -> None:
    assert BROWSER is not None
    page = write_report(sample_content("<script>document.title='run'</script>"), tmp_path / "report.html")
    picture = tmp_path / "report.png"
    common = [
        BROWSER,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--enable-logging=stderr",
        "--host-resolver-rules=MAP * ~NOTFOUND",
    ]
    shown = subprocess.run(
        [*common, f"--user-data-dir={tmp_path / 'a'}", "--dump-dom", page.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    complaints = [line for line in shown.stderr.splitlines() if "CONSOLE" in line or "Refused" in line]
    assert complaints == []
    assert "<title>Demo of &lt;script&gt;" in shown.stdout  # the text stayed text, and nothing ran
    assert shown.stdout.count("<figure>") == 5
    subprocess.run(
        [
            *common,
            f"--user-data-dir={tmp_path / 'b'}",
            f"--screenshot={picture}",
            "--window-size=1100,3000",
            page.as_uri(),
        ],
        capture_output=True,
        timeout=120,
        check=True,
    )
    assert picture.stat().st_size > 100_000  # an empty or unstyled page is far smaller
