# `make` prints this help.
VENV   := .venv
PYTHON ?= python3
BIN    := $(VENV)/bin
INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt
RUNTIME := $(VENV)/.runtime
READY  := $(VENV)/.ready
TYPED  := $(shell find etl -name '*.pxd')
LOOPS  := $(TYPED) $(TYPED:.pxd=.py)
AIRFLOW := $(VENV)-airflow
SPARK  := $(VENV)-spark
PYSPARK := $(VENV)-pyspark
# Compiled once, not in each of the processes that the tests start.
unexport PYTHONDONTWRITEBYTECODE

PYTHONS ?= $(PYTHON) python3.11 python3.12 python3.13 python3.14 $(wildcard $(HOME)/.pyenv/versions/*/bin/python3)

.PHONY: help setup run test thorough soak fuzz sanitize lint types check docs man site bench small-files nights spark spark-nightly sdist \
        uncompiled wheels release \
        licences clean

help: ## Print this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s  %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## Make the virtual environment and install what is pinned in constraints.txt

# The command and what it imports. Old machine code goes first: where the loops cannot be compiled, it would stay.
$(RUNTIME): pyproject.toml setup.py constraints.txt $(LOOPS)
	$(PYTHON) -m venv $(VENV)
	find etl -name '*.so' -delete
	$(INSTALL) --editable .
	touch $@

# The developers' tools on top. The project is installed already, so pip adds only what the extra asks for.
$(READY): $(RUNTIME)
	$(INSTALL) 'postback-etl[dev]'
	touch $@

run: $(RUNTIME) ## Run the job on sample_data/ and show the summary and the first rows of each table
	$(BIN)/postback-etl run sample_data/access.log.gz sample_data/webhooks.jsonl --out out \
	  --account acme-7Qx2 --integration shop-checkout --default-currency EUR
	@$(BIN)/python docs/show_tables.py out

# Airflow has an environment of its own: it pins what we do not. tests/test_schedules.py reads our DAG in it.
$(AIRFLOW)/.ready: docs/examples/airflow-constraints.txt
	$(PYTHON) -m venv $(AIRFLOW)
	$(AIRFLOW)/bin/pip install --quiet --disable-pip-version-check --no-deps --no-compile --only-binary :all: \
	  --requirement $<
	touch $@

# Sail has an environment of its own, as there is one pyspark for Sail and one for Spark. tests/test_spark.py runs the job in
# it, from this folder: with the loops that `make setup` compiled, so of the same Python.
$(SPARK)/.ready: docs/examples/spark-constraints.txt | $(RUNTIME)
	$(BIN)/python -m venv $(SPARK)
	$(SPARK)/bin/pip install --quiet --disable-pip-version-check --no-deps --no-compile --only-binary :all: \
	  --no-binary pyspark-client --requirement $<
	touch $@

# pyspark is an archive of 456 MB, which brings Spark.
$(PYSPARK)/.ready: docs/examples/pyspark-constraints.txt | $(RUNTIME)
	$(BIN)/python -m venv $(PYSPARK)
	$(PYSPARK)/bin/pip install --quiet --disable-pip-version-check --no-deps --no-compile --requirement $<
	touch $@

spark: $(PYSPARK)/.ready ## Run the tests of the job on Spark itself (3 minutes); needs Java 17 or later
	@java -version >/dev/null 2>&1 || { echo 'make spark needs Java 17 or later: no test of Spark has run.' >&2; exit 1; }
	SPARK_MASTER='local[2,4]' $(PYSPARK)/bin/python -m pytest --noconftest -o filterwarnings= tests/on_spark.py

spark-nightly: $(PYSPARK)/.ready ## Kill executors of Spark, each in another step of a run (minutes); needs Java 17
	SPARK_MASTER='local-cluster[2,1,1024]' $(PYSPARK)/bin/python -m pytest --noconftest -o filterwarnings= \
	  tests/on_spark.py -k executors

# CI has 15 minutes on 2 cores for `make uncompiled`, `make check`, `make sanitize` and two minutes of `make fuzz`. The
# legs have budgets in minutes, on 2 quiet cores. What comes must fit in. 24 histories of a warehouse take half a minute of
# processor time, the 96 of `make check` two minutes, and all other tests eight.
test: $(READY) $(SPARK)/.ready ## Run the tests: all kinds of random input, but not all of it (6 minutes)
	$(BIN)/python -m pytest -n auto --dist worksteal

thorough: export HISTORIES := 208
thorough: export THOROUGH := 1
thorough: $(READY) $(AIRFLOW)/.ready $(SPARK)/.ready ## Run all tests on all random input, before a release (15 minutes)
	$(BIN)/python -m pytest -n auto --dist worksteal

soak: $(READY) ## Pass thousands of histories of a warehouse
	HISTORIES=3200 $(BIN)/python -m pytest -n auto --dist worksteal tests/test_warehouse_histories.py

# The shell has a variable SECONDS, too: only one that is given to make counts.
fuzz: $(READY) ## Look for faults on random inputs for 10 minutes (SECONDS=120 for 2), by a SEED or a random one
	$(BIN)/python -m tests.fuzz --seconds $(if $(filter command line,$(origin SECONDS)),$(SECONDS),600) $(if $(SEED),--seed $(SEED)) $(if $(COUNT),--count $(COUNT))

$(VENV)/.sanitize: $(READY)
	$(INSTALL) 'postback-etl[sanitize]'
	touch $@

sanitize: $(VENV)/.sanitize ## Try the compiled loops with checks of all bounds (2 minutes); needs gcc with libasan
	$(BIN)/python .ci/sanitize.py

lint: $(READY) ## Check style and formatting (1 minute)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY) ## Check types (3 minutes)
	$(BIN)/mypy

check: export HISTORIES := 96
check: $(AIRFLOW)/.ready $(VENV)/.docs lint types test site ## Style, types, tests with more histories, documents: what CI runs

docs: $(READY) ## Write the generated parts of the documents anew, and the manual page
	$(BIN)/python docs/generate.py

man: $(READY) ## Write the manual page anew from the help
	$(BIN)/python docs/generate.py man/postback-etl.1

$(VENV)/.docs: $(READY)
	$(INSTALL) 'postback-etl[docs]'
	touch $@

site: $(VENV)/.docs ## Build the documents into build/site and check their links
	$(BIN)/zensical build --clean --strict
	rm -f build/site/*.py
	$(BIN)/python docs/check_links.py
	$(BIN)/python docs/check_links.py build/site

$(VENV)/.bench: $(READY)
	$(INSTALL) 'postback-etl[bench]'
	touch $@

bench: $(VENV)/.bench ## Measure the job on a generated log and dump of a million lines, against its peers
	$(BIN)/python bench/check_peers.py
	$(BIN)/python bench/bench.py

small-files: $(READY) ## Measure folders of 200, 1,000 and 5,000 files of ten lines
	$(BIN)/python bench/small_files.py

nights: $(READY) ## Measure a night that is loaded into a history of 20 million conversions
	$(BIN)/python bench/nights.py

$(VENV)/.release: $(RUNTIME)
	$(INSTALL) 'postback-etl[release]'
	touch $@

sdist: $(VENV)/.release ## Make the archive of the source, in dist/
	rm -f dist/*.tar.gz
	$(BIN)/python -m build --sdist >/dev/null

uncompiled: sdist ## Install that archive without a C compiler: the same tables, and a line that says it is slow
	$(BIN)/python .ci/check_installation.py dist/*.tar.gz uncompiled

wheels: sdist ## Make a manylinux wheel of it for each Python here, in dist/, and install each without a C compiler
	rm -f dist/*.whl
	$(BIN)/python .ci/build_wheels.py dist/*.tar.gz $(PYTHONS)

release: uncompiled wheels ## Build the archive and the wheels in dist/, and try each: what a release uploads

licences: $(RUNTIME) ## List the distributions that the command needs, with their licences
	@$(BIN)/python .ci/licences.py

clean: ## Remove what the other targets made
	rm -rf $(VENV) $(AIRFLOW) $(SPARK) $(PYSPARK) out build bench/data .mypy_cache .pytest_cache .ruff_cache .hypothesis dist *.egg-info
	find etl -name '*.so' -delete
