# Everything a new machine needs: Python 3.11 or newer, git and make. Each target makes .venv first when it is missing
# or older than the lock file, with uv where there is one and with venv + pip otherwise.

# With this set (as on some build machines) TensorFlow compiles its 10,000 modules at every start: 12 s instead of 4.
unexport PYTHONDONTWRITEBYTECODE

BIN := .venv/bin
READY := .venv/.ready
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3 python; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$p" && break; done)

# Two test processes share two cores: BLAS with two threads in each would wait for itself.
ONE_THREAD := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1

.DEFAULT_GOAL := help
.PHONY: help setup shell demo notebook test test-fast browser lint check fix docs docs-serve docs-reference dist bench lock clean

help: ## say what there is (this text)
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

setup: $(READY) ## make .venv from the lock file

$(READY): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "error: no Python 3.11 or newer found; install one, or say: make PYTHON=/path/to/python3" >&2; exit 1; }
	@echo "setting up .venv (3.6 GB, most of it TensorFlow)" >&2
	@rm -rf .venv
	@if command -v uv >/dev/null 2>&1; then \
		uv venv --quiet --python "$(PYTHON)" .venv && \
		uv pip install --quiet --python .venv --require-hashes -r requirements.lock && \
		uv pip install --quiet --python .venv --no-deps -e .; \
	else \
		"$(PYTHON)" -m venv .venv && \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock && \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .; \
	fi
	@touch $(READY)

shell: $(READY) ## start a shell in which `inkdigits` and `python` are those of .venv; `exit` leaves it
	@VIRTUAL_ENV="$(CURDIR)/.venv" PATH="$(CURDIR)/.venv/bin:$$PATH" "$${SHELL:-/bin/sh}" || true

demo: $(READY) ## the whole tutorial on real MNIST: three networks trained and evaluated, a page read, a form read
	@$(BIN)/inkdigits tutorial
	@rm -rf build/demo-form
	@$(BIN)/inkdigits form demo build/demo-form --copies 1 >/dev/null
	@$(BIN)/inkdigits form read build/demo-form build/demo-form/scans --output build/demo-form/answers.xlsx

notebook: $(READY) ## open the tutorial in JupyterLab
	@$(BIN)/jupyter lab notebooks/tutorial.ipynb

docs: $(READY) ## build the documentation into site/; a broken link or an undocumented public name fails
	@$(BIN)/mkdocs build --strict --quiet && echo "site/index.html"

docs-serve: $(READY) ## show the documentation at http://127.0.0.1:8000, rebuilt on every change
	@$(BIN)/mkdocs serve

docs-reference: $(READY) ## write the pages of docs/reference/ that come from the code
	@$(BIN)/python docs/hooks/reference.py

dist: $(READY) ## build the wheel and the source archive into dist/ and check them
	@rm -rf dist && $(BIN)/python -m build --no-isolation --outdir dist . >/dev/null && $(BIN)/twine check --strict dist/*

test: $(READY) browser ## all tests
	@$(ONE_THREAD) $(BIN)/python -m pytest -n 2 --dist worksteal

test-fast: $(READY) ## the tests of reading, in under a minute: no TensorFlow, no Ray, no browser
	@$(ONE_THREAD) $(BIN)/python -m pytest -n 2 --dist worksteal --fast

# The page's tests drive a real browser. Where one may be installed it is; elsewhere those tests say why they are skipped.
browser:
	@if [ -z "$$CHROME" ] && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1 && \
		! command -v chromium >/dev/null 2>&1 && ! command -v google-chrome >/dev/null 2>&1; then \
		echo "installing chromium for the tests of the page" >&2; \
		{ apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium; } \
			>/dev/null 2>&1 || echo "chromium could not be installed: the tests of the page will be skipped" >&2; \
	fi

lint: $(READY) ## format, lint, types, layers and words
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/codespell

check: lint browser ## lint and all tests: what must hold before a commit
	@$(ONE_THREAD) $(BIN)/python -m pytest -n 2 --dist worksteal

fix: $(READY) ## format, and fix what ruff can fix
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

# PEER_PYTHON: the Python of an environment with RapidOCR in it, to measure it beside ours.
bench: $(READY) ## every benchmark that needs no long training, and the page of figures; DATA=folder adds real handwriting
	@$(BIN)/python benchmarks/all.py $(if $(DATA),"$(DATA)") $(if $(PEER_PYTHON),--peer-python "$(PEER_PYTHON)")

lock: ## write requirements.lock (needs uv)
	uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate \
		--no-header --python-version 3.11 --all-extras pyproject.toml -o requirements.lock

clean: ## remove .venv and caches, never runs/
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis
