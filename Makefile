# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: install demo test lint unit stress bench parity mini evaluate clean

install: $(STAMP)

$(STAMP): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable . --group dev
	touch $(STAMP)

demo: $(STAMP)
	rm -rf outputs/demo
	$(BIN)/commonart generate --from resources/demo.csv --out outputs/demo --name '{prompt:40}-{seed}'
	$(BIN)/python -m engine.output sheet outputs/demo/contact-sheet.png outputs/demo/*.png --columns 6

test: lint unit

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/mypy

unit: $(STAMP)
	QT_QPA_PLATFORM=offscreen $(BIN)/python -m pytest -n 2 --dist loadfile

# long and random: 200 kills, and every file and database operation failing in turn
stress: $(STAMP)
	$(BIN)/python -m tests.stress --kills 200
	$(BIN)/python -m tests.stress --faults --all

parity: $(STAMP)
	$(BIN)/python benchmarks/parity.py

bench: $(STAMP)
	$(BIN)/python benchmarks/ledger.py
	$(BIN)/python benchmarks/parity.py

# the bundled model again from nothing: some two hours on two cores
mini: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[mini]'
	$(BIN)/python -m trainer.mini

evaluate: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[mini]'
	$(BIN)/python -m trainer.evaluation commonart-mini --sheet outputs/mini/evaluation.png

clean:
	rm -rf $(VENV) outputs .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
