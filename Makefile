# make train: train and write samples. make test: run all checks. make help: list all targets.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
JOBS ?= 2
PARALLEL = -n $(JOBS) --dist loadscope --no-loadscope-reorder
QUICK := --xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true \
	--xla_cpu_parallel_codegen_split_count=1  # compiles a third faster, and runs slower
ON_JAX := tests/conformance tests/test_optimizer.py tests/test_compilations.py \
	tests/test_flow.py::test_fit_lowers_the_cost_of_a_repeated_batch \
	tests/test_blow.py::test_fit_learns_the_speakers \
	tests/test_flowavenet.py::test_fit_learns_to_read_the_mel \
	tests/test_alignment.py tests/test_glow_tts.py::test_fit_finds_the_durations_of_letters \
	tests/test_flowtron.py::test_fit_learns_to_attend_and_to_end

.PHONY: help train test test-slow check format benchmark benchmark-gpu clean

help:
	@echo "make train      make .venv, install, train on the built-in corpus, write samples"
	@echo "make test       lint and all quick tests, on TensorFlow and on JAX"
	@echo "make test-slow  the tests that take minutes"
	@echo "make format     format the code"
	@echo "make benchmark  time training, inference and the preparation of data"
	@echo "make benchmark-gpu  time training and inference on an accelerator, through JAX"
	@echo "make clean      remove .venv"

train: $(VENV)/installed
	$(BIN)/python train.py

test check: $(VENV)/installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	XLA_FLAGS="$(QUICK)" $(BIN)/python -m pytest -q $(PARALLEL)
	KERAS_BACKEND=jax XLA_FLAGS="$(QUICK)" $(BIN)/python -m pytest -q $(PARALLEL) $(ON_JAX)

test-slow: $(VENV)/installed-dev
	$(BIN)/python -m pytest -q -m slow

format: $(VENV)/installed-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

benchmark: $(VENV)/installed
	$(BIN)/python benchmarks/train.py --json logs/benchmark.json
	$(BIN)/python benchmarks/prepare.py

benchmark-gpu:
	KERAS_BACKEND=jax $(PYTHON) benchmarks/train.py --json logs/benchmark-gpu.json

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

PIP = $(BIN)/python -m pip install --quiet --disable-pip-version-check

$(VENV)/installed: requirements.txt pyproject.toml | $(VENV)/bin/python
	$(PIP) -r requirements.txt
	$(PIP) --no-deps --editable .
	touch $@

$(VENV)/installed-dev: requirements-dev.txt requirements.txt pyproject.toml | $(VENV)/bin/python
	$(PIP) -r requirements-dev.txt
	$(PIP) --no-deps --editable .
	touch $@ $(VENV)/installed

clean:
	rm -rf $(VENV)
