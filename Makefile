# A new machine needs Python 3.11 or newer and make, nothing else: the first target that needs it makes `.venv`.
# Another Python: `make test PYTHON=python3.12`. Arguments for pytest: `make test ARGS="-k merge"`.

PYTHON ?= python3
ARGS ?=
PORT ?= 3000
BIN := .venv/bin
INSTALLED := .venv/.installed
TOOLS := .venv/.tools
DAGSTER_FOLDER := .powerca/dagster

# Without compiled modules each worker and each process that a test starts would compile them again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help install demo dev test lint docs bench soak faults traffic clean

help: ## Print this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' Makefile

install: $(INSTALLED) ## Install the program into .venv; which demo and dev do first; the others add the test tools

demo: $(INSTALLED) ## See it work: two PostgreSQL servers of its own and a made-up office
	@$(BIN)/powerca-sync demo

dev: $(INSTALLED) $(DAGSTER_FOLDER)/dagster.yaml ## Open Dagster's UI with the databases of .env, or with the demo's (PORT=3001)
	@exec $(BIN)/powerca-sync ui --port $(PORT) $(if $(wildcard .env),,--demo)

test: $(TOOLS) ## Run the tests, on all processors
	@$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder $(ARGS)

lint: $(TOOLS) ## Check style, formatting, types, the direction of imports, and that Dagster loads the definitions
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python -m powerca_sync_tests.idioms
	$(BIN)/dagster definitions validate -m powerca_sync.definitions --log-level warning

docs: $(TOOLS) ## Rewrite what documents quote from the program: the reference, the demo's output in the README
	@REWRITE_DOCS=1 $(BIN)/python -m pytest -q powerca_sync_tests/test_documents.py powerca_sync_tests/acceptance/test_demo.py

bench: $(TOOLS) ## Measure against psql pipes, the guide's algorithm and installed peers (an hour; ARGS="--rows 250000 --edits 0")
	@$(BIN)/python -m benchmarks.run $(ARGS)

soak: $(TOOLS) ## Play random histories of offices and phones against a model (ten minutes; ARGS="--minutes 60")
	@$(BIN)/python -m powerca_sync_tests.histories.soak $(ARGS)

faults: $(TOOLS) ## Hit 1000 runs with faults at random moments and count the rows (an hour at most; ARGS="--faults 100")
	@$(BIN)/python -m powerca_sync_tests.histories.campaign $(ARGS)

traffic: $(TOOLS) ## Sync while an office and its phones write, and measure who waits (five minutes; ARGS="--minutes 1")
	@$(BIN)/python -m powerca_sync_tests.histories.traffic $(ARGS)

clean: ## Remove .venv, builds and caches; keeps .powerca (Dagster's history, the demo's data)
	rm -rf .venv build *.egg-info .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamp is written last, so that an interrupted installation is taken up again. `-qq` leaves only errors.
$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "powerca-sync needs Python 3.11 or newer, and '$(PYTHON)' is not that." >&2; \
	    echo "Install one, or name the one to use: make demo PYTHON=python3.12" >&2; \
	    exit 1; \
	}
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt -e .
	@touch $@

# Linters and test tools, which a person who looks or an office does not need.
$(TOOLS): $(INSTALLED)
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

$(DAGSTER_FOLDER)/dagster.yaml: dagster.yaml
	@mkdir -p $(DAGSTER_FOLDER)
	@cp dagster.yaml $@
