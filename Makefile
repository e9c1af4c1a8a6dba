# Needs python3 >= 3.11 with venv; everything else is installed into .venv on first use.

PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test lint types bench docs clean

demo: .venv/ready  ## how far images may shift with and without RICS, as a report
	$(BIN)/rics verify --n 224 --k 140 --delta 1,3,5,9 --output demo
	@echo "The report lies in the folder demo/."

test: lint types  ## everything that must hold
	$(BIN)/pytest

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# Type-checks the wheel, as users install it. Not run from the root, where the sources shadow it.
types: .venv/ready
	rm -rf dist
	$(BIN)/python -m build --quiet --no-isolation --outdir dist
	$(BIN)/pip install --quiet --no-deps --target dist/installed dist/*.whl
	cd dist && PYTHONPATH="$(CURDIR)/dist/installed" "$(CURDIR)/$(BIN)/mypy" \
		--config-file ../pyproject.toml --cache-dir ../.mypy_cache -p rics_transforms

bench: .venv/ready  ## print the tables of every benchmark
	set -e; for script in $$(grep -l "^def main" benchmarks/*.py); do $(BIN)/python $$script; done

docs: .venv/ready-docs
	test ! -f mkdocs.yml || $(BIN)/mkdocs build --strict

clean:
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info build dist demo site

.venv/ready: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --editable ".[dev]"
	touch $@

.venv/ready-docs: .venv/ready
	$(BIN)/pip install --quiet --editable ".[docs]"
	touch $@
