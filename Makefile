# The two commands: `make book` and `make test`. Each makes .venv first, alone, on a fresh machine.
# Variables: PYTHON (3.11 to 3.13), VENV, WORKERS (pages or tests at a time).

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

VENV ?= .venv
WORKERS ?= 2
COLAB_PYTHON ?= python3.13
COLAB_VENV ?= _build/colab
# The first Python on this machine that the pins are made for; `make PYTHON=...` chooses another.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
  $$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null \
  && echo $$p && exit; done; echo python3)

BIN = $(VENV)/bin
STAMP = $(VENV)/.stamp
PAGE = _build/html/index.html
# Nothing of the user's own set-up gets in. One thread a process: two test processes share two cores,
# the chapters' networks are too small to gain from a second, and threads that wait for a busy core
# make them many times slower.
CLEAN_ENV = env -u MPLBACKEND -u PYTHONPATH PYTHONNOUSERSITE=1 JUPYTER_PREFER_ENV_PATH=1 JUPYTER_PLATFORM_DIRS=1
TEST_ENV = $(CLEAN_ENV) PYTHONHASHSEED=0 OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
# A Python warning that a chapter's own line gives stops the build (its text would not be on the page).
TEST_ENV += PYTHONWARNINGS=error:::__main__

# Pages keep each figure in both forms; they show the PNG, and the archive of figures has the SVG too.
INLINE = _build/ipython/profile_default
FORMATS = c.InlineBackend.figure_formats = {"png", "svg"}; c.HistoryManager.enabled = False
KERNEL_ENV = $(TEST_ENV) IPYTHONDIR='$(CURDIR)/_build/ipython'
EXECUTED = _build/executed

.PHONY: help env book test lint notebooks notebooks-check notebooks-run class figures pdf text browser colab linkcheck ci clean

help:  ## this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/\1 \2/p' Makefile | \
	  while read -r name text; do printf 'make %-16s %s\n' "$$name" "$$text"; done

env: $(STAMP)  ## the pinned environment in .venv

$(STAMP): requirements.txt pyproject.toml
	@'$(PYTHON)' -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null || \
	  { echo "error: Python 3.11, 3.12 or 3.13 is needed; '$(PYTHON)' is $$('$(PYTHON)' -V 2>/dev/null || echo 'not found'). Try: make PYTHON=python3.12" >&2; exit 1; }
	@echo "making $(VENV) with $$('$(PYTHON)' -V) (a few minutes, once)"
	@'$(PYTHON)' -m venv '$(VENV)'
	@'$(BIN)/python' -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@'$(BIN)/python' -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch '$(STAMP)'

book: $(STAMP)  ## execute every chapter and build the book
	@rm -rf _build/html _build/.doctrees _build/jupyter_execute
	@echo "executing the chapters"
	@mkdir -p '$(INLINE)' && echo '$(FORMATS)' > '$(INLINE)/ipython_kernel_config.py'
	@$(KERNEL_ENV) '$(BIN)/python' tools/execute_pages.py '$(EXECUTED)' --jobs $(WORKERS)
	@$(KERNEL_ENV) EXECUTED_PAGES='$(EXECUTED)' '$(BIN)/jupyter-book' build . -W -n --keep-going -q
	@'$(BIN)/python' tools/make_slides.py
	@echo "the book: $(CURDIR)/$(PAGE)"

test: $(STAMP)  ## unit tests, checks of the text, and the notebooks (nbval)
	@status=0; \
	echo "unit tests, checks of the text"; \
	$(TEST_ENV) MPLBACKEND=Agg '$(BIN)/python' -m pytest -q -n $(WORKERS) || status=1; \
	$(MAKE) notebooks-run || status=1; \
	exit $$status

notebooks-run: $(STAMP)  ## the notebooks alone, every cell and assert (nbval)
	@echo "the notebooks"
	@$(TEST_ENV) '$(BIN)/python' -m pytest -q -n $(WORKERS) --dist loadscope \
	  --nbval-lax --nbval-cell-timeout=600 -o filterwarnings=default notebooks

lint: $(STAMP)  ## ruff, pyright (strict for the library), import layers
	@'$(BIN)/python' -m ruff check --quiet .
	@'$(BIN)/python' -m ruff format --check --quiet .
	@'$(BIN)/python' -m pyright --pythonpath '$(BIN)/python'
	@'$(BIN)/lint-imports' --no-cache --no-logo

notebooks: $(STAMP)  ## write notebooks/ from book/
	@'$(BIN)/python' tools/make_notebooks.py

notebooks-check: $(STAMP)  ## fail if a notebook is stale
	@'$(BIN)/python' tools/make_notebooks.py --check

class: $(STAMP)  ## two zips for a class: notebooks to work in, and the same with solutions
	@'$(BIN)/python' tools/make_class.py

figures: $(STAMP)  ## every figure of the built book, PNG and SVG, and a zip of them
	@'$(BIN)/python' tools/make_figures.py

pdf: $(STAMP)  ## the built book as one PDF, printed by chromium
	@'$(BIN)/python' tools/make_pdf.py $(PAGES)

text: $(STAMP)  ## checks of the book's text alone, and spelling
	@'$(BIN)/python' tools/check_text.py
	@'$(BIN)/python' tools/check_spelling.py

browser: $(STAMP)  ## open every built page in chromium, with no network
	@'$(BIN)/python' tools/check_browser.py $(BROWSER_FLAGS)

colab:  ## every notebook under the versions that Colab ships (Python 3.13, a venv of its own)
	@tools/colab.sh '$(COLAB_PYTHON)' '$(COLAB_VENV)' '$(WORKERS)'

linkcheck: $(STAMP)  ## every outside link, data mirror and Colab badge (needs the network)
	@status=0; \
	'$(BIN)/python' tools/check_links.py || status=1; \
	'$(BIN)/jupyter-book' build . --builder linkcheck -q || status=1; \
	exit $$status

ci:  ## everything, as the CI does it
	@.ci/run

clean:  ## remove what was built, keep .venv
	@rm -rf _build .pytest_cache .ruff_cache .hypothesis *.egg-info
	@find . -name __pycache__ -not -path './.venv*' -prune -exec rm -rf {} +
