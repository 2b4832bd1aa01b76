# Two commands on a fresh machine: `make run` and `make test`. Needs Python >= 3.11 and make, nothing else.

PYTHON ?= python3
VENV ?= .venv
ARGS ?=
WORKERS ?= 2

BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help run demo test bench lint format install pins jars clean

help: ## print this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: $(STAMP) ## start everything: embedded Kafka, evaluator, router, delivery, API and dashboard (ARGS="--port 8081")
	@exec $(BIN)/tocsin up $(ARGS)

demo: $(STAMP) ## the same, with a producer of realistic metrics and rules that fire within a minute
	@exec $(BIN)/tocsin up --demo $(ARGS)

# Each worker has a Kafka of its own; much of what they do is waiting. One that has nothing left takes of another's tests.
test: $(STAMP) ## run the whole test suite against a real Kafka (ARGS="-k name"; WORKERS=0 runs one test after the other)
	@exec $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist worksteal $(ARGS)

bench: $(STAMP) ## measure the whole path on this machine
	@exec $(BIN)/tocsin bench $(ARGS)

lint: $(STAMP) ## check style, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP) ## mend what ruff can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

install: $(STAMP) ## create .venv and install tocsin into it, without starting anything

# Built beside its final name, so that an interrupted installation is never taken for a whole one. pip refuses `-e .`
# together with hashes, hence two steps; the build backend is among the pins.
$(STAMP): infra/constraints.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "make: tocsin needs Python 3.11 or newer, and '$(PYTHON)' is $$($(PYTHON) --version 2>/dev/null || echo missing); try: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
	  echo "make: '$(PYTHON)' has no venv module; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@echo "Installing tocsin into $(VENV) (the first time takes a minute or two) ..."
	@rm -f $@
	@test -x $(BIN)/python && $(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	  || { rm -rf $(VENV) && $(PYTHON) -m venv $(VENV); }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r infra/constraints.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

# The oldest supported Python, since only its pins install on the newer ones too.
pins: ## write infra/constraints.txt anew from pyproject.toml (PYTHON=python3.11, needs the network)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { \
	  echo "make: pins are written with Python 3.11; try: make pins PYTHON=python3.11" >&2; exit 1; }
	@test -x $(BIN)/pip-compile || { $(PYTHON) -m venv $(VENV) && $(BIN)/python -m pip install --quiet pip-tools; }
	CUSTOM_COMPILE_COMMAND="make pins" $(BIN)/pip-compile --quiet --upgrade --generate-hashes --allow-unsafe \
	  --extra dev --all-build-deps --strip-extras --no-emit-index-url --no-emit-find-links --no-emit-trusted-host \
	  --output-file infra/constraints.txt pyproject.toml

jars: $(STAMP) ## write the list of Kafka's jars anew, for the version in tocsin/kafka/jars.py
	$(BIN)/python infra/list_jars.py

clean: ## remove .venv and what the tools left; data of `make run` stays
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis .coverage
	find schemas streams services tests -name __pycache__ -type d -prune -exec rm -rf {} +
