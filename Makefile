# Everything runs from .venv, which the first target that needs it makes. `make` alone lists the targets.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
TOOLS := $(VENV)/tools
UV := 0.13.9
PIP_AUDIT := 2.10.1

.DEFAULT_GOAL := help
.PHONY: help venv demo up test unit cluster-test docs-test fuzz-api mutations sim chaos load fuzz swarm-test bench golden lock \
	audit lint fmt clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' Makefile

venv: $(STAMP) ## make the virtual environment .venv with pinned versions

$(STAMP): setup.cfg pyproject.toml requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed: set PYTHON, for example make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "$(PYTHON) cannot make virtual environments: on Debian, apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements.txt
	$(BIN)/python -m pip install --quiet --no-build-isolation --no-deps -e .
	@touch $@

lock: $(STAMP) ## after a change of dependencies: the hashes of every package into requirements.txt, of the image's into deploy/
	@test -x $(TOOLS)/bin/uv || { $(PYTHON) -m venv $(TOOLS) && $(TOOLS)/bin/pip install --quiet uv==$(UV); }
	$(TOOLS)/bin/uv pip compile --quiet --universal --generate-hashes --no-annotate --no-header --python-version 3.11 \
		--all-extras -c constraints.txt setup.cfg -o requirements.txt
	$(TOOLS)/bin/uv pip compile --quiet --universal --generate-hashes --no-annotate --no-header --python-version 3.11 \
		-c constraints.txt setup.cfg -o deploy/requirements.txt

audit: $(STAMP) ## compare what is installed with what was pinned, and look for advisories where there is a network
	@test -x $(TOOLS)/bin/pip-audit || { $(PYTHON) -m venv $(TOOLS) && $(TOOLS)/bin/pip install --quiet pip-audit==$(PIP_AUDIT); }
	$(BIN)/python -m tests.support.dependencies $(TOOLS)/bin/pip-audit

demo: $(STAMP) ## run a whole election on a three-node cluster (BALLOTS=1000 sets its size)
	$(BIN)/ballot demo $(if $(BALLOTS),--ballots $(BALLOTS))

up: $(STAMP) ## start a three-node cluster on this machine, with its own PostgreSQL and Redis
	$(BIN)/ballot up

test: lint unit cluster-test docs-test ## check style and types, then run every test

unit: $(STAMP) ## run the quick tests, which start no server, on all cores
	$(BIN)/python -m pytest -n auto -m 'not cluster and not demo and not chaos'

cluster-test: $(STAMP) ## run the tests that start real servers
	$(BIN)/python -m pytest -n 2 --dist loadfile -m cluster
	$(BIN)/python -m pytest -m chaos

docs-test: $(STAMP) ## run the README's commands, the demo among them
	$(BIN)/python -m pytest -m demo

fuzz-api: $(STAMP) ## make up requests from the API's document and hold every answer against it (SECONDS=600 SEED=1)
	$(BIN)/python -m tests.support.fuzz $(if $(SECONDS),--seconds $(SECONDS)) $(if $(SEED),--seed $(SEED))

mutations: $(STAMP) ## remove each guard against a known bug and see its scenario fail
	$(BIN)/python -m tests.support.mutations

sim: $(STAMP) ## simulate whole clusters under faults (SEEDS=1000 STEPS=2000 FIRST=0 JOBS=2)
	$(BIN)/python -m tests.sim $(if $(SEEDS),--seeds $(SEEDS)) $(if $(STEPS),--steps $(STEPS)) \
		$(if $(FIRST),--first $(FIRST)) $(if $(JOBS),--jobs $(JOBS))

chaos: $(STAMP) ## hurt a real cluster while clients cast (SECONDS=600 SEED=1; as root also its links and a disk)
	$(BIN)/python -m tests.chaos $(if $(SECONDS),--seconds $(SECONDS)) $(if $(SEED),--seed $(SEED))

load: $(STAMP) ## ask three times what a real cluster can take (SECONDS=600) and see what becomes of every ballot
	$(BIN)/python -m tests.load $(if $(SECONDS),--seconds $(SECONDS))

swarm-test: $(STAMP) ## build the image, run and hurt the stack in a real Docker Swarm (as root, where no daemon runs)
	$(BIN)/python -m tests.swarm

fuzz: $(STAMP) ## fuzz every parser of outside bytes, guided by coverage (SECONDS=60 each, TARGETS="ballot export")
	@$(BIN)/python -c 'import atheris' 2>/dev/null || \
		{ echo "atheris has no wheel for this Python: the property tests of make unit stand alone" >&2; exit 1; }
	$(BIN)/python -m tests.fuzz $(if $(SECONDS),--seconds $(SECONDS)) $(TARGETS)

lint: $(STAMP) ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

fmt: $(STAMP) ## put the code into its standard form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## remove .venv, builds and caches; a cluster's data stays
	rm -rf $(VENV) .fuzz build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

bench: $(STAMP) ## measure the ledger beside etcd, casts over HTTP, audit, tally (LENGTH=10000,1000000 CATCH_UP=1000000 too)
	$(BIN)/python -m bench.ledger $(if $(LENGTH),--length $(LENGTH)) $(if $(CATCH_UP),--catch-up $(CATCH_UP))
	$(BIN)/python -m bench.api
	$(BIN)/python -m bench.audit
	$(BIN)/python -m bench.tally

golden: $(STAMP) ## keep an export for the tests, with what it leads to now (NAME=spring EXPORT=file)
	$(BIN)/python -m tests.support.golden "$(NAME)" $(EXPORT)
