# The habits of this project. `make demo` and `make test` work on a fresh machine with python3, venv and make.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo broker test test-compiled test-pure check bench fuzz compat clean

.venv/installed: pyproject.toml setup.py $(shell find src -name '*.py')
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check '.[dev]'
	touch $@

.venv-pure/installed: pyproject.toml setup.py $(shell find src -name '*.py')
	test -x .venv-pure/bin/python || $(PYTHON) -m venv .venv-pure
	LEVERET_PURE=1 .venv-pure/bin/pip install --quiet --disable-pip-version-check '.[dev]'
	touch $@

demo: .venv/installed  ## broker, three workers and real files; a worker is killed half way
	$(BIN)/leveret demo

broker: .venv/installed  ## the broker on port 5672, until Ctrl-C
	$(BIN)/leveret broker

test: test-compiled test-pure  ## the suite, on the compiled build and on the pure one

test-compiled: .venv/installed
	$(BIN)/python -m pytest

test-pure: .venv-pure/installed
	.venv-pure/bin/python -m pytest --broker=leveret

check: .venv/installed  ## formatting, lint, types, architecture
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/test_architecture.py

bench: .venv/installed  ## against a RabbitMQ on this machine
	$(BIN)/python -m bench

fuzz: .venv/installed  ## two minutes of bytes that no honest peer would send
	$(BIN)/python -m fuzz

compat: .venv/installed  ## SRC=FOLDER of checkouts: the clients' own suites, beside a RabbitMQ on this machine
	@test -n "$(SRC)" || { echo "make compat SRC=FOLDER (what belongs there: docs/compatibility.md)"; exit 2; }
	$(BIN)/python -m compat --src "$(SRC)"

clean:
	rm -rf .venv .venv-pure .compat build src/*.egg-info
