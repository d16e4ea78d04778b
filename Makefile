# The two commands: make reproduce, make test. Both build .venv once and reuse it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OLDEST := .venv-oldest
INTEGRATIONS := .venv-integrations
# The release of PyTorch that the integrations are tested with, and an index beside PyPI that has it. PyTorch's own index
# has wheels for CPUs, which are much smaller than PyPI's on Linux: the workflow in .github takes these.
TORCH_RELEASE ?= 2.13.0
TORCH_INDEX ?=
QUICK ?=
STUDY ?=
SECONDS ?=
TORCH ?=
JSON ?=

.DEFAULT_GOAL := help
.PHONY: help setup reproduce test test-full test-integrations test-oldest lint types imports experiments bench bench-table docs test-docs images story screenshot predictions test-browser clean

help:
	@echo "make reproduce [QUICK=1]  every figure and the table of predictions, into report/"
	@echo "make test                 the tests (under 5 minutes)"
	@echo "make test-full            the tests that take long, too, on more random examples"
	@echo "make test-integrations    the tests with PyTorch, Lightning, Keras and the like, which it installs"
	@echo "make test-oldest          what may differ, with the oldest dependencies that pyproject.toml allows"
	@echo "make test-browser         the explorer and the story in Chromium, if there is one"
	@echo "make lint types imports   ruff and the schemas of .github, mypy, import-linter"
	@echo "make experiments          long studies of figures/studies.py: goes on with what figures/results lacks"
	@echo "make bench [TORCH=1]      speed as ratios against named baselines; JSON=FILE stores all samples"
	@echo "make bench-table          the table of benchmarks/README.md, from benchmarks/results"
	@echo "make docs                 the manual, into docs/_build/html"
	@echo "make test-docs            the manual's notebooks and command lines, executed; its pages in Chromium"
	@echo "make screenshot           the manual's pictures of the explorer and the story, anew"
	@echo "make story                the playable story, docs/catapults.html, from docs/story"
	@echo "make images predictions   the manual's pictures and measured numbers, anew"

setup: $(VENV)/.installed

# The stamp follows pyproject.toml: a change of dependencies installs again, anything else reuses the environment.
$(VENV)/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "selfstab needs Python 3.11 or newer; set PYTHON=/path/to/python3.11"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test,lint]'
	@touch $@

reproduce: setup
	$(BIN)/selfstab reproduce --output report $(if $(QUICK),--quick)

test: setup
	$(BIN)/python -m pytest -n 2 --dist worksteal --mpl -m 'not slow and not docs and not integrations' -q

test-full: setup
	$(BIN)/python -m pytest -n 2 --dist worksteal --mpl -m 'not docs and not integrations' -q

# The lowest version of each dependency, and the newest of what these need. It is made anew, since an installed version
# that is allowed stays.
$(OLDEST)/.installed: pyproject.toml
	$(PYTHON) -m venv --clear $(OLDEST)
	$(OLDEST)/bin/python -m pip install --quiet --disable-pip-version-check uv
	$(OLDEST)/bin/uv pip install --quiet --python $(OLDEST) --resolution lowest-direct --editable '.[test]'
	@touch $@

# Left out is what an old library cannot change: prose, malformed calls, speed, releases; and the physics, whose closed
# forms are NumPy's arithmetic and whose runs are those of kernels, sweeps, runs and flows, which are tested.
OLDEST_WITHOUT := docs theory verification figures benchmarks test_fuzz.py explorer/test_fuzz.py test_release.py \
	test_workflows.py

# Without --mpl: the pictures' baselines are drawn by the newest Matplotlib, whose text differs by pixels.
test-oldest: $(OLDEST)/.installed
	$(OLDEST)/bin/python -m pytest -n 2 --dist worksteal -m 'not slow and not docs and not integrations' -q \
		$(OLDEST_WITHOUT:%=--ignore=tests/%)

# Large libraries stay apart: the other tests are those of a user who has none of them.
$(INTEGRATIONS)/.installed: pyproject.toml
	test -x $(INTEGRATIONS)/bin/python || $(PYTHON) -m venv $(INTEGRATIONS)
	$(INTEGRATIONS)/bin/python -m pip install --quiet --disable-pip-version-check $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) torch==$(TORCH_RELEASE)
	$(INTEGRATIONS)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[integrations]'
	@touch $@

# Files without the mark are not collected, which saves half a minute. One thread: the models are small, and threads would
# wait for each other.
test-integrations: $(INTEGRATIONS)/.installed
	OMP_NUM_THREADS=1 $(INTEGRATIONS)/bin/python -m pytest -m integrations -q $(shell grep -rl --include=*.py "mark\.integrations" tests)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.github-issue-forms .github/ISSUE_TEMPLATE/*.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.citation-file-format CITATION.cff

types: setup
	$(BIN)/mypy

imports: setup
	$(BIN)/lint-imports

# Hours from nothing; what is stored is not run again. STUDY="NAME ..." picks, SECONDS=N ends early. One thread for JAX.
experiments: setup
	XLA_FLAGS="--xla_cpu_multi_thread_eigen=false" $(BIN)/python -m figures.studies $(STUDY) $(if $(SECONDS),--seconds $(SECONDS))

# What ours is compared with, on top of setup's. PyTorch takes gigabytes: TORCH=1 installs it too.
$(VENV)/.installed-bench: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[bench]'
	@touch $@

$(VENV)/.installed-torch: $(VENV)/.installed-bench
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[peers]'
	@touch $@

bench: $(VENV)/.installed-$(if $(TORCH),torch,bench)
	$(BIN)/selfstab bench $(if $(QUICK),--quick) $(if $(JSON),--json $(JSON))

bench-table: setup
	$(BIN)/python -m benchmarks.readme_table

# What the manual is built with, on top of setup's.
$(VENV)/.installed-docs: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[docs]'
	@touch $@

docs: $(VENV)/.installed-docs
	$(BIN)/sphinx-build --builder html --fail-on-warning --keep-going --doctree-dir docs/_build/doctrees docs docs/_build/html

# Notebooks, command lines, and the pages in Chromium, as a reader meets them.
test-docs: $(VENV)/.installed-docs $(VENV)/.installed-browser
	$(BIN)/python -m pytest -q -m docs tests/docs

images: setup
	$(BIN)/python docs/pictures.py
	$(BIN)/python docs/film.py

story: setup
	$(BIN)/python docs/story/story_page.py

# With the explorer and a driver for Chromium, which must be on the machine.
$(VENV)/.installed-browser: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[browser]'
	@touch $@

test-browser: $(VENV)/.installed-browser
	$(BIN)/python -m pytest -q -rs tests/explorer/test_browser.py tests/docs/test_story_browser.py

screenshot: $(VENV)/.installed-browser
	$(BIN)/python docs/screenshot.py

predictions: setup
	$(BIN)/selfstab verify --json > docs/theory/predictions.json

clean:
	rm -rf $(VENV) $(OLDEST) $(INTEGRATIONS) docs/_build report .cache .pytest_cache .mypy_cache .ruff_cache .hypothesis
