VENV ?= .venv
PYTHON ?= python3
BIN = $(VENV)/bin
# Tests run small models on small batches: one thread each is fastest, in as many processes.
# Those that ask for more threads wait asleep for each other, as the processors are busy.
WORKERS ?= 2
THREADS = OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive
TEST = $(THREADS) $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist worksteal

.PHONY: setup demo lint test fast test-all fuzz bench results docs web cpp dist clean

setup: $(VENV)/.ready

# Two in five modules are ever used: each is compiled when it is, not all of them here.
$(VENV)/.ready: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt --editable '.[train,parquet,serve,dev]'
	touch $@

demo: setup
	$(BIN)/pointstill demo

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint fast

fast: setup
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
	$(BIN)/python docs/commands.py
	$(BIN)/sphinx-build -q -W -b html docs docs/_build

# three.js and ONNX Runtime Web, which the pages need; asks npm for what web/fetch.py pins.
web: setup
	$(BIN)/python web/fetch.py
	$(BIN)/python -m pip install --quiet --no-deps --editable web

# ONNX Runtime's headers and library in build/onnxruntime, and the C++ example built with them.
cpp: setup
	$(BIN)/python examples/cpp/headers.py
	cmake -S examples/cpp -B build/cpp -DONNXRUNTIME_ROOT=$(CURDIR)/build/onnxruntime
	cmake --build build/cpp

# Wheel and sdist of pointstill, and the wheel of what its pages need.
dist: web
	$(BIN)/python -m build --outdir dist .
	$(BIN)/python -m build --wheel --outdir dist web

clean:
	rm -rf $(VENV) docs/_build dist build demo web/pointstill_web/vendor .mypy_cache .ruff_cache .pytest_cache .hypothesis
