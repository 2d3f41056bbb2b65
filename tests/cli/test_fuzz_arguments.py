"""Any command line ends with a documented code and one sentence, never with a traceback."""

from __future__ import annotations

import contextlib
import io

from hypothesis import given, settings
from hypothesis import strategies as st

from calibrig.cli.frame import run_command_line

DOCUMENTED = {0, 1, 2, 3, 4, 5, 75, 130}
# nothing here can do work: files are not there, stores are not made
WORDS = st.sampled_from(
    ["run", "config", "show", "store", "history", "verify", "get", "hawkes", "--json", "--help", "--symbol", "--seed",
     "--out", "--paths", "-h", "--", "--debug", "-1", "1e99", "nowhere.csv", "sqlite:///nowhere/x.db", "--store",
     "--since", "--tick-size", "nan", ""]
)  # fmt: skip
TEXT = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=12)


@settings(max_examples=120, deadline=None)
@given(arguments=st.lists(WORDS | TEXT, max_size=6))
def test_any_arguments_end_well(arguments: list[str]) -> None:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run_command_line([word for word in arguments if word != "--debug"])
    assert code in DOCUMENTED
    assert "Traceback" not in err.getvalue()
    assert "internal error" not in err.getvalue()
    if code == 2 and arguments and "Usage:" not in err.getvalue():
        assert err.getvalue().startswith("calibrig: ")
        assert err.getvalue().count("\n") == 1
