# make chapters   execute every chapter and build the web book in build/book
# make test       every test, the chapters and the built book among them
# make lab        open the chapters in JupyterLab
# make refresh    execute the chapters anew and rewrite their notebooks and figures/; CHAPTER=01_invariance for one
# make test-fast  the tests without chapters and book
# make lint       the style check
# make help       these lines
# make bugs       bugs planted on purpose, and the test that catches each
# make bug-matrix every such bug against every law: who sees it, who is blind (anew: ten minutes)
# make bench      this library beside its peers
#
# The first of these makes the environment in .venv.  Choose another Python with  make PYTHON=python3.12 ...

PYTHON ?= python3
PY := .venv/bin/python

# One thread: the arrays are small, and a pool of threads costs more than it saves. On two cores, chapter 1 took 40 s
# of CPU time with one thread, 70 to 130 s with two, and no less by the clock.
export OMP_NUM_THREADS ?= 1

moved = $(shell [ -x $(1)/bin/python ] && [ "$$(cat $(1)/made 2>/dev/null)" = "$$(pwd -P)" ] || echo FORCE)

chapters: .venv/made
	@$(PY) tools/chapters.py book

test: .venv/made
	$(PY) -m pytest

test-fast: .venv/made
	$(PY) -m pytest --ignore=tests/test_chapters.py --ignore=tests/test_book.py

lab: .venv/made
	JUPYTER_PREFER_ENV_PATH=1 $(PY) -m jupyter lab --notebook-dir=. --LabApp.default_url=/lab/tree/chapters

refresh: .venv/made
	@$(PY) tools/chapters.py refresh $(CHAPTER)

lint: .venv/made
	$(PY) -m ruff check .

help:
	@sed -n 's/^# make/make/p' Makefile

bugs: .venv/made
	@$(PY) -m tests.seeded_bugs

bug-matrix: .venv/made
	@$(PY) -m tests.bug_matrix --figure

bench: .venv-bench/made
	.venv-bench/bin/python -m benchmarks

# Made once, and again when its list changes or the folder moves (an environment holds its own path).
.venv/made: requirements.txt $(call moved,.venv)
.venv-bench/made: requirements-bench.txt $(call moved,.venv-bench)
.venv-bench/made: ALONE = mace-torch>=0.3.16

.venv/made .venv-bench/made:
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))" || { \
	  echo "se3ref needs Python 3.11 or newer; '$(PYTHON)' is: $$($(PYTHON) --version 2>&1)"; \
	  echo "Name another one:  make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)"; exit 1; }
	@echo "Making the environment in $(@D): a few minutes, this once."
	@$(PYTHON) -m venv --clear $(@D)
	@$(@D)/bin/python -m pip install --quiet --quiet --disable-pip-version-check -r $< -e .
	@$(if $(ALONE),$(@D)/bin/python -m pip install --quiet --quiet --disable-pip-version-check --no-deps '$(ALONE)')
	@pwd -P > $@

.PHONY: chapters help test test-fast lab refresh lint bugs bug-matrix bench FORCE
