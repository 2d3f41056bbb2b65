#!/usr/bin/env bash
# Make .venv and install calibrig: `install.sh .`, or `install.sh '.[dev]'` with what its tests need.
# A missing tool is one clear sentence.
set -euo pipefail
PYTHON=${PYTHON:-python3}
VENV=${VENV:-.venv}
TARGET=${1:-.}
fail() { echo "calibrig: $*" >&2; exit 2; }

command -v "$PYTHON" >/dev/null 2>&1 ||
    fail "no Python called '$PYTHON'; install Python 3.11 or newer (Debian: apt-get install python3 python3-venv python3-dev) or say make PYTHON=/path/to/python3"
"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "'$PYTHON' is $("$PYTHON" -V 2>&1); calibrig needs Python 3.11 or newer: make PYTHON=python3.12"
"$PYTHON" -c 'import venv, ensurepip' 2>/dev/null ||
    fail "'$PYTHON' has no venv module; install it (Debian: apt-get install python3-venv)"
headers=$("$PYTHON" -c 'import sysconfig; print(sysconfig.get_path("include"))')
[ -f "$headers/Python.h" ] ||
    fail "no Python headers in $headers; install them (Debian: apt-get install python3-dev)"
compiler=${CXX:-}
for candidate in $compiler c++ g++ clang++; do
    if command -v "$candidate" >/dev/null 2>&1; then compiler=$candidate; break; fi
done
[ -n "$compiler" ] && command -v "$compiler" >/dev/null 2>&1 ||
    fail "no C++ compiler; install one that knows C++20 (Debian: apt-get install g++), or set CXX"
printf '#include <span>\n#include <bit>\nint main() { return std::popcount(0u); }\n' |
    "$compiler" -std=c++20 -x c++ -fsyntax-only - 2>/dev/null ||
    fail "'$compiler' does not compile C++20; install g++ 11 or newer, or clang 14 or newer, or set CXX"

started=$SECONDS
[ -x "$VENV/bin/python" ] || "$PYTHON" -m venv "$VENV"
pip() { "$VENV/bin/python" -m pip --disable-pip-version-check --quiet "$@"; }
pip install 'scikit-build-core>=0.11' 'nanobind>=2.9' cmake ninja
PATH="$PWD/$VENV/bin:$PATH" pip install --no-build-isolation --editable "$TARGET" ||
    fail "the installation failed; the compiler's or the package index's message stands above"
echo "calibrig: installed in $((SECONDS - started)) s, $VENV takes $(du -sm "$VENV" | cut -f1) MB"
