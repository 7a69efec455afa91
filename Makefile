# Everything a developer or CI runs. `make run` and `make test` do their own set-up on a machine with Python and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -q
RUN_STAMP := $(VENV)/.run-$(shell cksum < requirements/run.lock | cut -d' ' -f1)
DEV_STAMP := $(VENV)/.dev-$(shell cksum < requirements/dev.lock | cut -d' ' -f1)

.PHONY: setup run test check fmt bench bench-ledger soak agents lock clean
.DEFAULT_GOAL := run
unexport PYTHONDONTWRITEBYTECODE  # else every process that starts compiles all of the code again

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Sekisho needs Python 3.11 or later: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(RUN_STAMP): $(BIN)/python
	@echo "Installing Sekisho into $(VENV) ..."
	@$(PIP) install --require-hashes -r requirements/run.lock
	@$(PIP) install --no-deps --no-build-isolation --no-index -e .
	@touch $@

$(DEV_STAMP): $(RUN_STAMP)
	@$(PIP) install --require-hashes -r requirements/dev.lock
	@touch $@

setup: $(RUN_STAMP)          ## make .venv with .venv/bin/sekisho

run: setup                   ## start Sekisho on http://127.0.0.1:4000
	@$(BIN)/sekisho serve

check: $(DEV_STAMP)          ## style, types and import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

test: $(DEV_STAMP)           ## everything that CI runs: `make check` beside the tests, four workers on two cores
	@mkdir -p .cache; $(MAKE) --no-print-directory check >.cache/check 2>&1 & checking=$$!; \
	$(BIN)/pytest -n 4 --dist loadgroup --no-loadscope-reorder; tested=$$?; \
	wait $$checking && echo "make check: passed" || { tested=1; cat .cache/check; }; exit $$tested

fmt: $(DEV_STAMP)            ## put the code in shape
	$(BIN)/ruff check --fix -q .
	$(BIN)/ruff format -q .

soak: $(DEV_STAMP)           ## long runs: an hour of mixed load (SEKISHO_SOAK_MINUTES), kill -9, cancels, faults; twenty times the random tries of `make test`
	$(BIN)/pytest -m soak tests/soak
	SEKISHO_TEST_THOROUGH=1 $(BIN)/pytest -n 2 -m "hypothesis or seeds"

bench: $(DEV_STAMP)          ## beside nginx, Envoy, LiteLLM, Portkey, ferrogw, TensorZero in one run; BENCH="--resume" and more
	$(BIN)/python -m bench $(BENCH)

bench-ledger: $(DEV_STAMP)    ## ten million calls in the ledger, SQLite and PostgreSQL: reports, ingestion, bytes
	$(BIN)/python -m bench.ledger

agents: setup                ## real coding agents against this gateway (needs npm)
	bash tests/agents/run.sh

lock: $(DEV_STAMP)           ## refresh requirements/*.lock (needs uv)
	bash requirements/lock.sh

clean:
	rm -rf $(VENV) .cache .pytest_cache .mypy_cache .ruff_cache build dist
