# Everything here works in a virtual environment of its own, made from the project's files.
# Needs Python >= 3.11, make and gcc (the tests build a stand-in driver library).
#
#   make demo          train a small network under `frugalwatch run` and see its energy and carbon
#   make test          format, lint, types, import contracts and tests
#   make test-servers  the tests that need a server; there, a skip is a failure
#   make test-long     whole searches on real programs, which take minutes; before a release
#   make check         the three above
#   make bench         our overhead beside that of other trackers (installs them, takes minutes)
#   make clean         remove what these targets made
#
# PYTHON=... chooses the interpreter, VENV=... the folder, PYTEST_ARGS=... goes to pytest. pip reads
# PIP_INDEX_URL, PIP_FIND_LINKS and the like as usual; TORCH_INDEX_URL names another CPU index.

VENV ?= .venv
BENCH_ENVS ?= $(VENV)-peers
PY := $(VENV)/bin/python
PIP_INSTALL := $(PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt

# An own file per set of packages: a second `make` is instant, a changed pin installs again.
BASE_STAMP := $(VENV)/.frugalwatch-base
DEV_STAMP := $(VENV)/.frugalwatch-dev
PINS := pyproject.toml constraints.txt examples/requirements.txt

# Tests start the program a thousand times; compiling it anew each time would take most of theirs.
unexport PYTHONDONTWRITEBYTECODE

# $(call pytest,OPTIONS,MARKERS). Many tests hold what a real program did against a clock. What
# failed is tried once more, with nothing beside it: a machine that stood still for a second fails
# a test once, a fault fails it twice. Without a failed test (it crashed) there is nothing to try.
AGAIN := --last-failed --last-failed-no-failures none
define pytest
$(PY) -m pytest $(1) -m '$(2)' $(PYTEST_ARGS) || { echo 'what failed, once more and alone:'; \
	    $(PY) -m pytest -m '$(2)' $(PYTEST_ARGS) $(AGAIN); }
endef

.DEFAULT_GOAL := help
.PHONY: help demo test test-long test-servers check bench clean

help:
	@sed -n 's/^#   //p' Makefile

$(PY): | tools/find-python
	@python=$$(tools/find-python) && echo "creating $(VENV) with $$python" && "$$python" -m venv "$(VENV)"

# torch goes first: anything that asked for it earlier would bring the default build.
$(BASE_STAMP): $(PINS) tools/install-torch | $(PY)
	@tools/install-torch "$(VENV)"
	@echo "installing frugalwatch and what the examples need"
	@$(PIP_INSTALL) -e . -r examples/requirements.txt
	@touch "$@"

$(DEV_STAMP): $(BASE_STAMP)
	@echo "installing the development tools"
	@$(PIP_INSTALL) --no-compile -e '.[dev]'
	@touch "$@"

demo: $(BASE_STAMP)
	$(VENV)/bin/frugalwatch run -- $(PY) examples/train_digits/train.py

test: $(DEV_STAMP)
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy --strict
	$(VENV)/bin/lint-imports
	$(call pytest,-n 3 --dist worksteal,not server and not alone and not waits and not long)
	$(call pytest,-n 4,waits and not server)
	$(call pytest,,alone and not server)

test-long: $(DEV_STAMP)
	$(call pytest,-n 2,long and not server)

test-servers: $(DEV_STAMP)
	@tools/test-servers "$(PY)"

check: test test-long test-servers

bench: $(BASE_STAMP)
	$(PY) bench/overhead.py --envs "$(BENCH_ENVS)" $(BENCH_ARGS)

clean:
	rm -rf "$(VENV)" "$(BENCH_ENVS)" build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
