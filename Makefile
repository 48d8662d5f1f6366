# Two commands do all their own set-up on a machine with Python 3.11, a C compiler and a package registry:
#   make demo     the whole product at work, under fire          make demo INPUT=file SEED=n CAPTURE=dir
#   make test     every test                                     make test ARGS="tests/cli -k help"

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   := .venv
BIN    := $(VENV)/bin
LOCK   := requirements-dev.lock
# One stamp per content of the lock and of pyproject.toml: a changed lock installs again, an unchanged one costs nothing.
STAMP  := $(VENV)/.installed-$(shell cat $(LOCK) pyproject.toml | cksum | cut -d' ' -f1)

PEERS_VENV  := build/peers
PEERS_LOCK  := requirements-bench.lock
PEERS_STAMP := $(PEERS_VENV)/.installed-$(shell cksum <$(PEERS_LOCK) | cut -d' ' -f1)

FUZZ       := build/atheris
FUZZ_LOCK  := requirements-fuzz.lock
FUZZ_STAMP := $(FUZZ)/.installed-$(shell cksum <$(FUZZ_LOCK) | cut -d' ' -f1)
TARGETS    ?= messages maps json frames sealed envelope signed handshake link batch media hello http2 chain texts
RUNS       ?= 1000000
SECONDS    ?= 0

INPUT   ?=
SEED    ?=
CAPTURE ?=
ARGS    ?=
SEEDS   ?= 0:10000
SPREAD  ?= 0:1000
MINUTES ?= 60
JOBS    ?= $(shell nproc 2>/dev/null || echo 1)
SIMULATED := tests/supervision/simulation
SOAKED  := $(filter-out examples/07% examples/08%,$(wildcard examples/*.py)) \
	$(SIMULATED)/chat.py:evening $(SIMULATED)/promises.py:chaos $(SIMULATED)/promises.py:weather

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help setup demo test check lint format types contracts coverage vectors conformance bench soak spread fuzz mutants lock clean
.DEFAULT_GOAL := help

help:  ## List what can be made.
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 20

setup: $(STAMP)  ## Make .venv and install the locked dependencies and this project.

$(STAMP): $(LOCK) pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes -r $(LOCK)
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@rm -f $(VENV)/.installed-*
	@touch $@

demo: $(STAMP)  ## Node and clients as real processes, parts of the node and the node killed on the way. INPUT=file SEED=n CAPTURE=dir
	$(BIN)/python -m norc_actors.cli.demo $(if $(INPUT),--input "$(INPUT)") $(if $(SEED),--seed "$(SEED)") $(if $(CAPTURE),--capture "$(CAPTURE)")

test: $(STAMP)  ## Every test, warnings as errors. ARGS=...
	$(BIN)/python -m pytest $(ARGS)

check: lint types contracts test  ## Lint, format, types, import contracts, tests.

lint: $(STAMP)  ## ruff: rules and format.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(STAMP)  ## Rewrite the sources in the project's format.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(STAMP)  ## Strict mypy.
	$(BIN)/mypy
	$(BIN)/mypy examples
	$(BIN)/mypy --explicit-package-bases tests/outsider

contracts: $(STAMP)  ## Which package may import which.
	$(BIN)/lint-imports

coverage: $(STAMP)  ## Each module of protocol/ and crypto/ by its own test file, branches: 95 % at least. ARGS="-k relay --missing"
	$(BIN)/python -m tools.own_coverage $(ARGS)

vectors: $(STAMP)  ## Test vectors, one line each; FILE=... tries another file in the format of tests/vectors/norc.json.
	$(BIN)/python -m tests.vectors $(or $(FILE),tests/vectors/norc.json)

conformance: $(STAMP)  ## Our supervisor beside OTP's own, live; installs Erlang if it is missing. N=200 SEED=n
	@tools/erlang
	$(BIN)/python -m tests.conformance.live $(or $(N),200) $(SEED)

bench: $(STAMP) $(if $(PEERS),$(PEERS_STAMP))  ## Every benchmark beside its baseline. QUICK=1 PEERS=1
	$(BIN)/python -m bench $(ARGS)

# The peers have an environment of their own: triotp asks for a Trio that ours is too new for.
$(PEERS_STAMP): $(PEERS_LOCK)
	$(PYTHON) -m venv --clear $(PEERS_VENV)
	$(PEERS_VENV)/bin/python -m pip install --quiet --require-hashes -r $(PEERS_LOCK)
	@touch $@

soak: $(STAMP)  ## 10,000 simulated runs of every example and of a chat between hosts. SEEDS=FROM:TO MINUTES=n JOBS=n
	$(BIN)/python -m supervision.testing.simulation --seeds $(SEEDS) --minutes $(MINUTES) --jobs $(JOBS) $(SOAKED)

spread: $(STAMP)  ## A revocation through 50 servers while a fifth of all datagrams is lost. SPREAD=FROM:TO MINUTES=n JOBS=n
	$(BIN)/python -m supervision.testing.simulation --seeds $(SPREAD) --minutes $(MINUTES) --jobs $(JOBS) tests/trust/spread.py:spread

fuzz: $(STAMP) $(FUZZ_STAMP)  ## Every fuzz target, coverage-guided; finds are kept. TARGETS="messages maps" RUNS=n SECONDS=n
	@for target in $(TARGETS); do echo "== $$target"; \
	PYTHONPATH=$(FUZZ) $(BIN)/python -m tests.fuzz.run $$target $(RUNS) $(SECONDS) || exit 1; done

$(FUZZ_STAMP): $(FUZZ_LOCK) $(STAMP)
	$(BIN)/python -m pip install --quiet --no-deps --upgrade --target $(FUZZ) --require-hashes -r $(FUZZ_LOCK)
	@touch $@

mutants: $(STAMP)  ## Remove each defence in turn: the test that names it has to fail. ARGS="-k relay"
	$(BIN)/python -m tools.mutants $(ARGS)

lock: ## Resolve the dependencies again and write the lock files.
	$(PYTHON) -m venv build/lock
	build/lock/bin/python -m pip install --quiet pip-tools
	tools/lock build/lock/bin/pip-compile

clean:  ## Remove .venv and everything generated.
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
