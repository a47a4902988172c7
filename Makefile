# Everything runs in .venv, which the targets make and fill from requirements/*.lock as needed.
# Needs Python 3.11+ and make. To choose the Python that makes .venv: make PYTHON=python3.12 test

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install -q

.DEFAULT_GOAL := help
.PHONY: help demo examples test test-all check bench tpu docs format lock clean
.NOTPARALLEL:

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: .venv/.demo ## train a small CNN on handwritten digits; the picture goes to out/
	@$(BIN)/python examples/networks/train_digits.py

examples: .venv/.dev ## run every example at small size, and test what it finds
	@$(BIN)/python -m pytest -n 2 --dist worksteal -m example tests/examples

test: check ## format, lint and type checks, then the tests
	@$(BIN)/python -m pytest -n 2 --dist worksteal --doctest-modules gradchain tests

test-all: check ## the same with the slow tests
	@$(BIN)/python -m pytest -n 2 --dist worksteal --doctest-modules -m "not example" gradchain tests

check: .venv/.dev ## format, lint and type checks only
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/pyright

bench: .venv/.bench ## time gradchain beside its peers
	@$(BIN)/python -m benchmarks

tpu: .venv/.dev .venv/.tpu ## compile for TPUs, without one; the figures go to docs/data/
	@TPU_LIBRARY_PATH=.venv/tpu/libtpu/libtpu.so $(BIN)/python -m benchmarks.compile_for_tpu --write

docs: .venv/.docs ## build the site in docs/_build/html; a warning is an error
	@$(BIN)/sphinx-build -W --keep-going -q docs docs/_build/html
	@echo "built docs/_build/html/index.html"

format: .venv/.dev ## format the code and fix what can be fixed
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

lock: $(BIN)/python ## renew requirements/*.lock from pyproject.toml
	@$(BIN)/python requirements/lock.py

clean: ## remove what the targets wrote, except .venv
	rm -rf out build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
	rm -rf docs/_build docs/generated docs/gallery docs/sg_execution_times.rst examples/*/out
	find gradchain tests benchmarks examples docs requirements -name __pycache__ -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "gradchain needs Python 3.11 or newer; try: make PYTHON=python3.12"; exit 1; }
	@echo "making .venv with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv .venv || { rm -rf .venv; exit 1; }

# The compiler for TPUs stands apart: where JAX finds it, it looks for a TPU at each start.
.venv/.tpu: requirements/tpu.lock | $(BIN)/python
	@echo "installing $<"
	@$(PIP) --no-deps --upgrade --target .venv/tpu -r $<
	@touch $@

# One stamp per lock: each target installs what it needs, once, and again when the lock changes.
.venv/.%: requirements/%.lock pyproject.toml | $(BIN)/python
	@echo "installing $<"
	@$(PIP) -r $<
	@$(PIP) --no-deps --no-build-isolation -e .
	@touch $@
