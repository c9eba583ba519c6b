# Needs Python 3.11 or newer and make; everything else is installed into .venv.
PYTHON ?= python3
CONSTRAINTS ?= constraints.txt
BIN := .venv/bin
INSTALLED := .venv/.installed

export OMP_NUM_THREADS ?= $(shell nproc 2>/dev/null || echo 2)

.PHONY: demo test check format install clean pretrained

demo: $(INSTALLED)  ## render glyph tasks, meta-train for two minutes, meet tasks never seen before, write a report
	$(BIN)/quickstudy demo --out runs/demo

test: $(INSTALLED)  ## every test, one torch thread each, on all cores
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadgroup

check: $(INSTALLED)  ## format, lint, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright

format: $(INSTALLED)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

install: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "quickstudy needs Python 3.11 or newer, this is " + sys.version.split()[0] + "; set PYTHON=")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -c $(CONSTRAINTS) -e '.[dev]'
	touch $(INSTALLED)

clean:
	rm -rf .venv build dist runs
