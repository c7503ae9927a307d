# The habits of this project. `make demo` and `make test` work on a fresh machine with python3, venv and make.
PYTHON ?= python3
BIN := .venv/bin
JOBS ?= 4
# As many processes, each with brokers of its own; most of a test is waiting for other processes, so two processors have work for four.
TOGETHER := -n $(JOBS) --dist loadfile

.PHONY: demo broker test test-compiled test-pure check bench bench-tasks bench-backlog bench-history cluster fuzz crash power-loss simulate screenshots compat clean

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

test: test-compiled test-pure  ## the suite, on the compiled build and on the pure one: JOBS=N

test-compiled: .venv/installed
	$(BIN)/python -m pytest $(TOGETHER)

test-pure: .venv-pure/installed
	.venv-pure/bin/python -m pytest $(TOGETHER) --broker=leveret

check: .venv/installed  ## formatting, lint, types, architecture
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/test_architecture.py

bench: .venv/installed  ## against a RabbitMQ on this machine
	$(BIN)/python -m bench

.venv-peers/installed: bench/tasks/requirements.txt
	test -x .venv-peers/bin/python || $(PYTHON) -m venv .venv-peers
	.venv-peers/bin/pip install --quiet --disable-pip-version-check --upgrade -r $<
	touch $@

bench-tasks: .venv/installed .venv-peers/installed  ## Leveret beside Celery, Dramatiq, Huey, …: ARGS="--peers A,B --rounds N --tasks N --help"
	$(BIN)/python -m bench.tasks $(ARGS)

cluster: .venv/installed  ## three nodes of RabbitMQ on this machine, killed one after another while tasks flow: ARGS="--count N"
	$(BIN)/python -m bench.cluster $(ARGS)

bench-backlog: .venv/installed  ## ten million waiting messages: some fifteen minutes, 35 GB of disk
	$(BIN)/python -m bench.deep_backlog

bench-history: .venv/installed  ## the message path with the broker's history and without: ARGS="--rounds N"
	$(BIN)/python -m bench.history $(ARGS)

fuzz: .venv/installed  ## twelve million frames that no honest peer would send: some four minutes
	$(BIN)/python -m fuzz

crash: .venv/installed  ## hundreds of processes killed at random, beside a RabbitMQ on this machine: ARGS="--kills 300"
	PYTHONPATH=tests $(BIN)/python -m crash $(ARGS)

power-loss: .venv/installed  ## the power is cut at 5,000 moments; ARGS="--cuts N --seed N"
	PYTHONPATH=tests $(BIN)/python -m powerloss $(ARGS)

screenshots: .venv/installed  ## docs/screenshots: the dashboard's pages, of a shop at work; needs chromium
	PYTHONPATH=tests $(BIN)/python -m dashboard.pictures

simulate: .venv/installed  ## the whole system on virtual time, 500 seeds; ARGS="--seeds N --seed N --steps N --trace FILE"
	PYTHONPATH=tests $(BIN)/python -m simulation $(ARGS)

compat: .venv/installed  ## SRC=FOLDER of checkouts: the clients' own suites, beside a RabbitMQ on this machine
	@test -n "$(SRC)" || { echo "make compat SRC=FOLDER (what belongs there: docs/compatibility.md)"; exit 2; }
	$(BIN)/python -m compat --src "$(SRC)"

clean:
	rm -rf .venv .venv-pure .venv-peers .compat build src/*.egg-info
