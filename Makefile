# Everything here works on a machine with Python 3.11, 3.12 or 3.13 and nothing else set up.

SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin

# The main paths over Postgres, quick ones: the whole of tests/integration takes minutes.
FAST := messages store_and_search listing conversations facts bad_input context

# pip's own settings stay as they are on this machine: mirrors and caches are the operator's business.
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help serve test test-fast coverage check format lock bench clean

help:
	@echo "make serve     start the service on this machine (Ctrl-C stops all of it; PORT=8080 moves it)"
	@echo "make test      run all tests"
	@echo "make test-fast run the unit tests and the main paths over Postgres: before each commit"
	@echo "make coverage  run the tests without a cluster, and report which lines they reach"
	@echo "make check     ruff, mypy, import-linter, bandit and pip-audit"
	@echo "make format    put the code into the formatter's shape"
	@echo "make lock      pin the newest versions that pyproject.toml allows"
	@echo "make bench     measure the service against its floor"
	@echo "make clean     remove .venv, .tools and caches; the data in .data stays"

.venv/.installed: requirements.lock pyproject.toml .ci/install.sh
	@PYTHON="$(PYTHON)" .ci/install.sh
	@touch $@

serve: .venv/.installed
	@$(BIN)/python -m serve_app.launch --default-data-dir .data \
		$(if $(PORT),--port $(PORT)) $(if $(DASHBOARD_PORT),--dashboard-port $(DASHBOARD_PORT))

test: .venv/.installed
	@.ci/test.sh

test-fast: .venv/.installed
	@$(BIN)/pytest -n 2 --dist worksteal -q tests/unit tests/architecture $(FAST:%=tests/integration/test_%.py)

coverage: .venv/.installed
	$(BIN)/pytest -n 2 tests/unit tests/integration --cov --cov-report=term

check: .venv/.installed
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	@.ci/audit.sh

format: .venv/.installed
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

lock: .venv/.installed
	@.ci/lock.sh

bench: .venv/.installed
	$(BIN)/python -m loadtests.bench

clean:
	rm -rf .venv .tools .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .coverage build *.egg-info
