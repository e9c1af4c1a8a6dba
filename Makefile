# Needs python3 >= 3.11 with venv; everything else is installed into .venv on first use.

PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo quick test test-albumentationsx test-oldest fuzz odd-files lint types bench docs docs-serve clean

demo: .venv/ready  ## how often a real classifier changes its answer, without and with RICS
	rm -rf demo
	$(BIN)/rics verify --n 256 --k 224 --delta 1 --baseline 224 --output demo \
		--model rics_transforms.models.efficientnet:lite0
	@echo "The report lies in the folder demo/."

quick: lint  ## within a minute: the engine, the theory and the transform
	$(BIN)/pytest --numprocesses 2 --dist worksteal -m "not slow and not broad and not browser" \
		tests/engine tests/transform tests/test_theory.py

# Threads that wait for others in vain would take the cores from the other worker.
test test-oldest: export OMP_WAIT_POLICY = passive

test: lint types test-albumentationsx  ## everything that must hold
	$(BIN)/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

# AlbumentationsX has the import name of albumentations: it goes into a separate environment, which
# falls back on the packages of the first one.
test-albumentationsx: .venv-x/ready
	.venv-x/bin/python -P -m pytest tests/integrations/test_albumentations*.py

# With the lowest version that pyproject.toml declares of everything: the package, and all tests of
# the adapters. Old libraries warn of their own newer dependencies, Matplotlib 3.7 of pyparsing.
test-oldest: .venv-oldest/ready  ## the same with the oldest versions that are supported
	.venv-oldest/bin/python -P tests/lowest.py
	.venv-oldest/bin/python -P -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder \
		-W ignore::DeprecationWarning \
		-m "(integration or not (slow or broad)) and not browser" --ignore tests/test_benchmarks.py \
		--ignore tests/test_docs.py --ignore tests/test_packaging.py --ignore tests/test_playground.py \
		--ignore tests/test_release.py tests

fuzz: .venv/ready  ## odd command lines, records and images, for a minute: SECONDS=60 SEED=0
	$(BIN)/python tests/fuzz.py $(or $(SECONDS),60) $(or $(SEED),0)

odd-files: .venv/ready  ## read the image files in the folder IMAGES, and compare with Pillow
	$(BIN)/python tests/odd_files.py "$(IMAGES)"

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

docs: .venv/ready  ## the documentation in site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

docs-serve: .venv/ready  ## the same at http://127.0.0.1:8000
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve

clean:
	rm -rf .venv .venv-x .venv-oldest .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info build dist demo site

.venv/ready: pyproject.toml rics_transforms/engine/_native.c
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --editable ".[dev]"
	touch $@

PURELIB = import sysconfig; print(sysconfig.get_path('purelib'))

.venv-x/ready: .venv/ready
	$(BIN)/python -m venv --clear --without-pip .venv-x
	echo "import site; site.addsitedir('$$($(BIN)/python -c "$(PURELIB)")')" \
		> "$$(.venv-x/bin/python -c "$(PURELIB)")/first.pth"
	$(BIN)/pip --python .venv-x/bin/python install --quiet --no-warn-conflicts \
		"albumentationsx>=2.4.7"
	touch $@

# pyarrow 26 needs NumPy 2, but tells only who imports it, not a resolver. The tests of the extra
# `export` take too long to run here, too. What runs the tests may be new.
.venv-oldest/ready: pyproject.toml rics_transforms/engine/_native.c .venv/ready
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python .venv-oldest
	$(BIN)/uv pip install --quiet --compile-bytecode --python .venv-oldest/bin/python \
		--resolution lowest-direct "pyarrow<26" \
		--editable ".[cli,kornia,albumentations,datasets,timm,transformers,ray]"
	$(BIN)/uv pip install --quiet --python .venv-oldest/bin/python \
		hypothesis "pytest>=9" pytest-xdist webdataset
	touch $@
