# Needs Python 3.11 or newer and make; everything else is installed into .venv.
PYTHON ?= python3
CONSTRAINTS ?= constraints.txt
BIN := .venv/bin
INSTALLED := .venv/.installed

export OMP_NUM_THREADS ?= $(shell nproc 2>/dev/null || echo 2)

.PHONY: demo test test-mcu check format install clean pretrained bench-peers

demo: $(INSTALLED)  ## render glyph tasks, meta-train for two minutes, meet tasks never seen before, write a report
	$(BIN)/quickstudy demo --out runs/demo

test: $(INSTALLED)  ## every test, one torch thread each, on all cores
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadgroup -m "not toolchain"

MCU_TOOLS := arm-none-eabi-gcc qemu-system-arm clang wasm-ld node
MCU_PACKAGES := gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm clang lld nodejs

test-mcu: $(INSTALLED)  ## firmware on emulated Cortex-M4 and M7 boards, and as WebAssembly; installs Debian packages (as root) where tools are missing
	@for tool in $(MCU_TOOLS); do command -v $$tool >/dev/null || { apt-get update && apt-get install -y $(MCU_PACKAGES); break; }; done
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/export/c -m toolchain

check: $(INSTALLED)  ## format, lint, types, layout, docs
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/test_layout.py tests/test_docs.py

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

pretrained: $(INSTALLED)  ## the two learners that ship inside the package, trained again
	$(BIN)/quickstudy train --data glyphs --learner protonet --ways 60 --shots 1 --queries 5 --augment affine --validation_ways 5 \
	  --tasks_per_step 1 --precision bf16-mixed --threads 1 --steps 100000 --validate_every 200 --validation_tasks 200 --minutes 9 --out runs/glyphs
	$(BIN)/python benchmarks/omniglot.py protonet
	$(BIN)/quickstudy export runs/glyphs --data glyphs --licence Apache-2.0 -o src/quickstudy/runtime/pretrained/glyphs.qs
	$(BIN)/quickstudy export runs/omniglot/protonet --data omniglot --licence Apache-2.0 -o src/quickstudy/runtime/pretrained/omniglot.qs

PEERS_PYTHON ?= .venv-peers/bin/python
PEERS := benchmarks/peers

bench-peers: $(INSTALLED) $(if $(filter .venv-peers/%,$(PEERS_PYTHON)),.venv-peers/.installed)  ## speed beside other libraries; options in BENCH="--quick"
	$(BIN)/python $(PEERS)/run.py --peers-python $(PEERS_PYTHON) $(BENCH)

.venv-peers/.installed: $(PEERS)/requirements.txt $(PEERS)/setup_peers.py
	$(PYTHON) $(PEERS)/setup_peers.py .venv-peers
	touch $@

# --- the browser module and its page: needs Node.js 20.19 or newer, and Chromium for its tests

.PHONY: web test-web bench-web

WEB := web/node_modules/.installed
BUILT := src/quickstudy/serve/built
CHROMIUM ?= /usr/bin/chromium

web: $(WEB)  ## web/dist: the module; and the page that `quickstudy demo --browser` serves
	cd web && npm run --silent build
	rm -rf $(BUILT)
	mkdir -p $(BUILT)
	cp web/dist/*.* $(BUILT)

test-web: $(INSTALLED) web $(CHROMIUM)  ## the module and the page, in Node.js and in Chromium, against Python
	cd web && PYTHON=$(abspath $(BIN)/python) CHROMIUM=$(CHROMIUM) npm test --silent

bench-web: $(INSTALLED) web $(CHROMIUM)  ## benchmarks/results/edge_browser.json
	cd web && PYTHON=$(abspath $(BIN)/python) CHROMIUM=$(CHROMIUM) npm run --silent bench

$(WEB): web/package.json web/package-lock.json
	cd web && npm ci
	touch $@

/usr/bin/chromium:
	apt-get update -qq
	apt-get install -qq --yes --no-install-recommends chromium

clean:
	rm -rf .venv .venv-peers build dist runs web/node_modules web/dist $(BUILT)
