VENV ?= .venv
PYTHON ?= python3
BIN = $(VENV)/bin
# Tests run small models on small batches: one thread each is fastest, in as many processes.
WORKERS ?= 2
TEST = OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist worksteal

.PHONY: setup demo lint test test-all fuzz bench results docs clean

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[train,parquet,dev]'
	touch $@

demo: setup
	$(BIN)/pointstill demo

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint
	$(TEST) -m "not slow"

test-all: lint
	$(TEST)

fuzz: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.fuzz --count 20000 --json benchmarks/results/fuzz.json
	$(BIN)/python -m tests.fuzz.page

bench: setup
	$(BIN)/python benchmarks/run.py

# Trains what is missing, for days; `RESULTS=radar` or `modelnet40` for one of the studies.
results: setup
	$(BIN)/python -m studies $(RESULTS)

docs: setup
	$(BIN)/sphinx-build -q -W -b html docs docs/_build

clean:
	rm -rf $(VENV) docs/_build demo .mypy_cache .ruff_cache .pytest_cache .hypothesis
