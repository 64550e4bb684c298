# `make repro` and `make test` work on a fresh machine: both first make .venv, which `make install` does alone.

PYTHON ?= python3
ACTIVATE = . .venv/bin/activate

.PHONY: install repro test fix

install: .venv/installed

repro: .venv/installed
	$(ACTIVATE) && dvc repro && python -m pipeline summary

test: .venv/installed
	$(ACTIVATE) && ruff check . && ruff format --check . && pyright && python -m pytest

fix: .venv/installed
	$(ACTIVATE) && ruff check --fix . && ruff format .

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(ACTIVATE) && python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch .venv/installed
