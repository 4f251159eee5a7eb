# make run    sets up, then runs the main job; again: shows what it found
# make test   sets up, then runs all tests
# make setup  only sets up; done already, it does nothing
PYTHON ?= python3
VENV := .venv
RUN_DIR := outputs/runs/equality_iit/main

.PHONY: run test setup lint bench clean

run: setup
	$(VENV)/bin/iit-lab experiment=equality_iit hydra.run.dir=$(RUN_DIR)

test: setup
	$(VENV)/bin/pytest

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check torch -c constraints.txt
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -e '.[dev]' -c constraints.txt
	touch $@

lint: setup
	$(VENV)/bin/ruff check . && $(VENV)/bin/ruff format --check . && $(VENV)/bin/pyright && $(VENV)/bin/lint-imports

bench: setup
	for script in benchmarks/[a-z]*.py; do $(VENV)/bin/python $$script --quick || exit 1; done

clean:
	rm -rf $(VENV) dist .pytest_cache .ruff_cache .import_linter_cache
