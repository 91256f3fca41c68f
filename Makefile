# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: install demo test lint unit slow e2e stress fuzz cases bench speed parity mini evaluate translations font screenshots clean

install: $(STAMP)

$(STAMP): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable . --group dev
	touch $(STAMP)

demo: $(STAMP)
	rm -rf outputs/demo
	$(BIN)/commonart generate --from resources/demo.csv --out outputs/demo --name '{prompt:40}-{seed}'
	$(BIN)/python -m engine.output sheet outputs/demo/contact-sheet.png outputs/demo/*.png --columns 10

test: lint unit

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/mypy

unit: $(STAMP)
	QT_QPA_PLATFORM=offscreen $(BIN)/python -m pytest -n 2 --dist loadfile

# the real program on a real display server, with the real worker; needs Xvfb and the X libraries of Qt's xcb plug-in
e2e: $(STAMP)
	$(BIN)/python -m pytest tests/gui/test_display.py tests/gui/test_processes.py -rs

# what takes too long for every change: exports of every family, long runs
slow: $(STAMP)
	QT_QPA_PLATFORM=offscreen $(BIN)/python -m pytest -n 2 --dist loadfile -m slow

# long and random: 200 kills, and every file and database operation failing in turn
stress: $(STAMP)
	$(BIN)/python -m tests.support.stress --kills 200
	$(BIN)/python -m tests.support.stress --faults --all

# bad input for ten minutes a target, some four hours in all; and the export with the network denied, which is too long for `make test`
fuzz: $(STAMP)
	$(BIN)/python -m tests.fuzz --minutes 10
	COMMONART_LONG=1 $(BIN)/python -m pytest tests/integration/test_no_network.py -k export

# what people reported to other tools, as inputs of our own making; `python -m tests.cases FOLDER` writes those of data sets, to try by hand
cases: $(STAMP)
	QT_QPA_PLATFORM=offscreen $(BIN)/python -m pytest tests/cases

parity: $(STAMP)
	$(BIN)/python benchmarks/parity.py

bench: $(STAMP)
	$(BIN)/python -m benchmarks.queue
	$(BIN)/python benchmarks/parity.py

# pictures per second against diffusers and how they grow, memory plans against measured peaks, the first picture: some 15 minutes, on a quiet machine
speed: $(STAMP)
	$(BIN)/python -m benchmarks.throughput
	$(BIN)/python -m benchmarks.memory
	$(BIN)/python -m benchmarks.cold

# the bundled model again, from the present one, into outputs/mini: hours on two cores; stop and go on as you like
mini: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[mini]'
	$(BIN)/python -m trainer.mini --work outputs/mini --out outputs/mini/commonart-mini
	$(BIN)/python -m trainer.mini.suite outputs/mini/commonart-mini --work outputs/mini

# does the bundled model draw what it is told? The Japanese and English table
evaluate: $(STAMP)
	$(BIN)/commonart evaluate commonart-mini --out outputs/evaluation/commonart-mini --sheet outputs/evaluation/commonart-mini.png

# the window's Japanese: new sentences come into the .ts, to be filled in there; then the .qm that is shipped
TS := resources/translations/commonart_ja
translations: $(STAMP)
	$(BIN)/pyside6-lupdate -extensions py -no-obsolete -locations none -source-language en -target-language ja -recursive commonart_desktop/gui -ts $(TS).ts
	$(BIN)/pyside6-lrelease $(TS).ts -qm $(TS).qm

# the font that is shipped, from the whole one on PyPI
font: $(STAMP)
	$(BIN)/python -m pip install --quiet --no-deps noto-cjk-sans-jp-regular==0.0.1
	$(BIN)/python resources/fonts/subset.py $$($(BIN)/python -c 'import noto_cjk_sans_jp_regular as n; print(n.__path__[0])')/NotoSansCJKjp-Regular.otf

# every page, in both languages and both themes
screenshots: $(STAMP)
	$(BIN)/python -m commonart_desktop.gui.screenshots docs/screenshots

clean:
	rm -rf $(VENV) outputs .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
