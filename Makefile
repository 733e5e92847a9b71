# A new machine needs only Python >= 3.11 and make.  `make help` lists the targets.
.DEFAULT_GOAL := help
.PHONY: help demo test test-all test-slow test-box test-vllm lint bench faults torture clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Modules in the order of collection, the longest (tests/integration) first: no core idles at the end.
PARALLEL := --numprocesses auto --dist loadscope --no-loadscope-reorder
# Slow tests share few fixtures of a module, so a worker with none left takes some of another's.
SHARED := --numprocesses auto --dist worksteal
# The tests start hundreds of processes, which should not each compile what they import.
unexport PYTHONDONTWRITEBYTECODE

help: ## Show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(READY): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25'
	$(BIN)/python -m pip install --quiet --editable '.[cpu,web,server,dev]'
	touch $(READY)

demo: $(READY) ## Sample scans through the whole system, results shown
	$(BIN)/ocrd demo demo

test: $(READY) ## The quick tests; what this machine lacks is skipped, with its reason
	$(BIN)/python -m pytest $(PARALLEL) -m 'not slow and not vllm' tests/integration tests/unit

test-slow: $(READY) ## The tests that take their time: faults, kills, torture in its short form
	$(BIN)/python -m pytest $(SHARED) -m 'not vllm and slow' --ignore tests/slow/box tests

test-box: $(READY) ## The units under a systemd of their own, in a box (first use makes its root: 0.9 GB)
	$(BIN)/python -m pytest tests/slow/box

test-all: export OCRD_TEST_ALL = 1
test-all: test test-slow ## Every test but those of the box and of vLLM; a thing that is missing is a failure

test-vllm: $(READY) ## The tests with the real vLLM on the CPU (first use installs 4.6 GB)
	.ci/vllm-env $(BIN)/python
	.venv-vllm/bin/python -m pytest -m vllm tests/slow/vllm

lint: $(READY) ## ruff, mypy --strict, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(READY) ## The benchmarks that take minutes and need no GPU
	$(BIN)/python -m bench

faults: $(READY) ## Every kind of fault once, in minutes (as root all of them can be tried)
	$(BIN)/python -m tests.slow.faults.kinds

torture: $(READY) ## Faults for as long as you like: make torture SEED=1 MINUTES=60
	$(BIN)/python -m tests.slow.faults.torture --seed $(or $(SEED),1) --minutes $(or $(MINUTES),60)

clean: ## Remove what make made
	rm -rf $(VENV) .venv-vllm demo build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
