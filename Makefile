# `make repro` and `make test` work on a fresh machine: both first make .venv, which `make install` does alone.

PYTHON ?= python3
ACTIVATE = . .venv/bin/activate

.PHONY: install repro test lint types quick test-all fix

install: .venv/installed

repro: .venv/installed
	$(ACTIVATE) && dvc repro && python -m pipeline summary

test: .venv/installed
	$(MAKE) --no-print-directory --jobs 2 lint types quick

lint:
	$(ACTIVATE) && ruff check . && ruff format --check .

types:
	$(ACTIVATE) && pyright

# One file of tests after the other goes to whichever of two workers is free.
quick:
	$(ACTIVATE) && python -m pytest -n 2 --dist loadfile -m "not long"

# Also what takes long: whole graphs, faults, mutants. Goes on after a failure, and names what failed.
test-all: .venv/installed
	$(ACTIVATE) && python -m tests

fix: .venv/installed
	$(ACTIVATE) && ruff check --fix . && ruff format .

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(ACTIVATE) && python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch .venv/installed
