# `make` lists what there is. Needs Python 3.11 or newer with venv, and nothing else; it all goes into .venv.

PYTHON ?= python3
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PIP := $(BIN)/python -m pip --disable-pip-version-check
INSTALL := $(PIP) install -qq --constraint .ci/constraints.txt

.DEFAULT_GOAL := help
.PHONY: help setup engine demo test integration lint format bench soak million fuzz mutants scale rehearse matrix constraints reference dashboards preview build clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "  ARGS=\"...\" is passed on by demo, test, integration, preview, bench, soak, million, fuzz, mutants, scale, rehearse and matrix; PYTHON=python3.12 chooses the interpreter."

setup: $(READY) ## create .venv (the others do it by themselves)

engine: $(READY) ## install ClickHouse's engine, 534 MB, for the tests that need it
	@$(INSTALL) --group engine

demo: $(READY) ## watch a bot under load, with incidents, and no Discord
	@$(BIN)/python -m examples.demo $(ARGS)

test: $(READY) ## run the tests
	@$(BIN)/python -m pytest $(ARGS)

integration: $(READY) ## run only the tests that need real servers, and fail where one is missing
	@ARGUS_REQUIRE_SERVICES=1 $(BIN)/python -m pytest -m integration $(ARGS)

lint: $(READY) ## formatter, linter, both type checkers, import contracts, generated tables and dashboards
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/pyright
	$(BIN)/lint-imports
	$(BIN)/python -m argus_exporter.reference --check
	$(BIN)/python -m grafana.builder --check

format: $(READY) ## format the code and mend what can be mended
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

reference: $(READY) ## write the generated tables in README.md anew
	$(BIN)/python -m argus_exporter.reference

dashboards: $(READY) ## build grafana/dashboards anew
	$(BIN)/python -m grafana.builder

preview: $(READY) ## draw the README's pictures of boards from a simulated fleet, or what ARGS says (needs Prometheus)
	@$(BIN)/python -m grafana.preview $(or $(ARGS),overview shards --trouble 20 --rows 36 --out grafana/pictures)

bench: $(READY) ## measure what the exporter costs a bot
	@$(BIN)/python -m tests.benchmarks $(ARGS)

soak: $(READY) ## let a bot live through an hour of events and incidents: nothing may grow, nothing be lost
	@$(BIN)/python -m tests.soak $(ARGS)

fuzz: $(READY) ## try a million hostile inputs at each place that takes them, or what ARGS says
	@$(INSTALL) --only-binary :all: --group fuzz 2>/dev/null || true
	@$(BIN)/python -m tests.fuzz $(ARGS)

million: $(READY) ## let a million events happen to a bot, and see that PostgreSQL and ClickHouse have what the books say
	@$(BIN)/python -m tests.million $(ARGS)

mutants: $(READY) ## break every alert and recording rule in every way, and see that a case notices (needs promtool)
	@$(BIN)/python -m tests.prometheus.mutate $(ARGS)

scale: $(READY) ## let a real Prometheus have 1,000 shards in 64 processes for an hour, and time its rules and the boards
	@$(BIN)/python -m tests.scale $(ARGS)

rehearse: $(READY) ## let bots have incidents, and see that each fires its alerts and no others
	@$(BIN)/python -m tests.rehearsal $(ARGS)

matrix: $(READY) ## run the tests on every supported discord.py, and on every supported Python that is here
	@$(BIN)/python .ci/matrix.py $(ARGS)

constraints: $(READY) ## pin the newest versions of everything (needs Python 3.11, 3.12 and 3.13)
	@$(BIN)/python .ci/pin.py

build: $(READY) ## build the wheel and the source distribution into dist/
	@$(BIN)/python -m hatchling build --directory dist

clean: ## remove everything that was made here, .venv too
	rm -rf $(VENV) .venvs .prometheus3 .bench .fuzz dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache

$(READY): pyproject.toml .ci/constraints.txt
	@command -v "$(PYTHON)" >/dev/null || { echo "There is no $(PYTHON): name one with make PYTHON=/path/to/python3.11"; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	    || { echo "$$("$(PYTHON)" --version 2>&1) is too old, 3.11 is needed: name one with make PYTHON=/path/to/python3.11"; exit 1; }
	@"$(PYTHON)" -c 'import venv, ensurepip' 2>/dev/null \
	    || { echo "$(PYTHON) cannot make virtual environments: apt install python3-venv, or make PYTHON=/path/to/python3.11"; exit 1; }
	@echo "Setting up $(VENV) ..."
	@$(BIN)/python -c '' 2>/dev/null || "$(PYTHON)" -m venv --clear $(VENV)
	@$(INSTALL) pip hatchling editables
	@$(INSTALL) --no-build-isolation --group dev --editable .
	@touch $@
