# The habits of this project. `make demo` and `make test` work on a fresh machine with python3, venv and make.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test test-compiled test-pure check bench fuzz clean

.venv/installed: pyproject.toml setup.py $(shell find src -name '*.py')
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check '.[dev]'
	touch $@

.venv-pure/installed: pyproject.toml setup.py $(shell find src -name '*.py')
	test -x .venv-pure/bin/python || $(PYTHON) -m venv .venv-pure
	LEVERET_PURE=1 .venv-pure/bin/pip install --quiet --disable-pip-version-check '.[dev]'
	touch $@

test: test-compiled test-pure  ## the suite, on the compiled build and on the pure one

test-compiled: .venv/installed
	$(BIN)/python -m pytest

test-pure: .venv-pure/installed
	.venv-pure/bin/python -m pytest

check: .venv/installed  ## formatting, lint, types, architecture
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/test_architecture.py

clean:
	rm -rf .venv .venv-pure build src/*.egg-info
