# `make` prints this help.
VENV   := .venv
PYTHON ?= python3
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
PXD    := $(shell find etl -name '*.pxd')
LOOPS  := $(PXD) $(PXD:.pxd=.py)
AIRFLOW := $(VENV)-airflow

.PHONY: help setup run test soak lint types check docs bench nights clean

help: ## Print this help
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-6s  %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## Make the virtual environment and install what is pinned in constraints.txt

$(READY): pyproject.toml setup.py constraints.txt $(LOOPS)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $(READY)

run: $(READY) ## Run the job on sample_data/ and show the summary and the first rows of each table
	$(BIN)/postback-etl run sample_data/access.log.gz sample_data/webhooks.jsonl --out out \
	  --account acme-7Qx2 --integration shop-checkout --default-currency EUR
	@$(BIN)/python docs/show_tables.py out

# Airflow has an environment of its own: it pins what we do not. tests/test_schedules.py reads our DAG in it.
$(AIRFLOW)/.ready: docs/examples/airflow-constraints.txt
	$(PYTHON) -m venv $(AIRFLOW)
	$(AIRFLOW)/bin/pip install --quiet --disable-pip-version-check --no-deps --no-compile --only-binary :all: \
	  --requirement $<
	touch $@

# The legs of `make check` have budgets in minutes, on 2 quiet cores: 30 together. What comes must fit in.
test: $(READY) $(AIRFLOW)/.ready ## Run the tests (4 minutes; 8 with the histories of `make check`)
	$(BIN)/python -m pytest -n auto --dist worksteal

soak: $(READY) ## Pass thousands of histories of a warehouse
	HISTORIES=3200 $(BIN)/python -m pytest -n auto --dist worksteal tests/test_warehouse_histories.py

lint: $(READY) ## Check style and formatting (1 minute)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY) ## Check types (3 minutes)
	$(BIN)/mypy

check: export HISTORIES := 208
check: lint types test ## All of the above: what CI runs (30 minutes, with 10 to set up)

docs: $(READY) ## Write the generated parts of README.md anew
	$(BIN)/python docs/generate.py

$(VENV)/.bench: $(READY)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[bench]'
	touch $(VENV)/.bench

bench: $(VENV)/.bench ## Measure the job on a generated log and dump of a million lines, against its peers
	$(BIN)/python bench/check_peers.py
	$(BIN)/python bench/bench.py

nights: $(READY) ## Measure a night that is loaded into a history of 20 million conversions
	$(BIN)/python bench/nights.py

clean: ## Remove what the other targets made
	rm -rf $(VENV) $(AIRFLOW) out build bench/data .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info && find etl -name '*.so' -delete
