# `make demo` plays a match, `make test` runs the tests. Each does all of its own set-up in $(VENV),
# once; it is done again when pyproject.toml, the constraints or the sources change.
#
#   PYTHON=python3.12   interpreter of the environment; otherwise the first below that is >= 3.11
#   VENV=.venv          folder of the environment
#   ARGS="..."          further arguments of `awm demo`, or of pytest
#   TORCH_INDEX=URL     package index to take PyTorch from, for `make test`. Only the CPU build is
#                       used; on Linux the default index has a CUDA build of several GB instead
SHELL := /bin/sh
VENV := .venv
PYTHON := python3.11 python3.12 python3.13 python3 python
TORCH_INDEX :=
ARGS :=

BIN := $(VENV)/bin
WHEEL := $(VENV)/wheel
PIP := $(BIN)/python -m pip -qq --disable-pip-version-check --no-input
# What `make test` needs beside the core, and what `make lock` pins.
TEST_EXTRAS := torch,replay,mwm,batch,gym,ladder,train,solana,serve,browser,dev
ALL_EXTRAS := $(TEST_EXTRAS)

SOURCES := pyproject.toml hatch_build.py LICENSE README.md $(shell find awm_jax converters crank \
	-name __pycache__ -prune -o \( -type d -o -type f ! -name '*.so' \) -print)
# constraints-3.11.txt and so on: what a real resolve gave for that Python; none for other Pythons.
CONSTRAINTS := $(wildcard constraints-*.txt)
VERSION = $(BIN)/python -c 'import sys; print("%d.%d" % sys.version_info[:2])'
PINNED = $$(c=constraints-$$($(VERSION)).txt; [ ! -f $$c ] || echo "-c $$c")

# Compiled programs are kept from run to run (a second run takes a third of the time), one folder per kind of CPU.
CPU := $(shell (uname -m; grep -m1 -iE '^(flags|features)' /proc/cpuinfo) 2>/dev/null | cksum | cut -d' ' -f1)
CACHE := JAX_COMPILATION_CACHE_DIR=$(abspath $(VENV))/jax/$(CPU) \
	JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS=0 JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES=-1
# The tests see the installed wheel, never the checkout: no script's folder goes onto sys.path.
PYTEST := DO_NOT_TRACK=1 PYTHONSAFEPATH=1 AWM_TEST_INSTALLED=1 $(CACHE) $(BIN)/pytest \
	-n logical --maxprocesses 4 --dist loadfile

.PHONY: demo test test-long test-er cartridge onchain wasm lint lock clean
.DELETE_ON_ERROR:

demo: $(VENV)/.installed
	@$(BIN)/awm demo $(ARGS)

test: lint
	@$(PYTEST) $(ARGS)

test-long: lint
	@$(PYTEST) -m "(long or not long) and not er" --hypothesis-profile=long $(ARGS)

# On MagicBlock's own validator, which `awm er install` fetches (Linux on x86-64; npm). None may be
# skipped.
test-er: $(VENV)/.test
	@$(BIN)/awm er install
	@AWM_REQUIRE_ALL=1 $(PYTEST) -m er -n 0 tests/solana $(ARGS)

# The embedded cartridge anew from real games (../shared/replays, or REPLAYS=folder): a night on two
# cores, an hour with a GPU; killed, it goes on. LICENSED=1 takes games with a stated licence alone.
REPLAYS := ../shared/replays
LICENSED :=
RUN := runs/cartridge$(if $(LICENSED),-licensed)
POLICIES := fox falco marth
cartridge: $(VENV)/.test
	$(BIN)/awm data build $(REPLAYS) --output $(RUN)/data $(if $(LICENSED),--licensed)
	$(BIN)/awm train world $(RUN)/data $(RUN)/world
	$(BIN)/awm train world $(RUN)/data $(RUN)/rounded --config rounded --begin $(RUN)/world/world.safetensors
	@set -e; for name in $(POLICIES); do \
	  $(BIN)/awm train policy $(RUN)/data $(RUN)/$$name --character $$name; done
	@set -e; for name in $(POLICIES); do \
	  $(BIN)/awm train practice $(RUN)/$$name-practised --world $(RUN)/rounded/world.safetensors \
	    --clone $(RUN)/$$name/policy.safetensors --character $$name \
	    $(foreach name,$(POLICIES),--against $(name)=$(RUN)/$(name)/policy.safetensors); done
	$(BIN)/awm train cartridge $(RUN)/data --world $(RUN)/rounded/world.safetensors \
	  $(foreach name,$(POLICIES),--policy $(name)=$(RUN)/$(name)-practised/policy.safetensors) \
	  --output $(RUN)/$(if $(LICENSED),licensed,melee) --overwrite
	@echo "To ship it, put $(RUN)/$(if $(LICENSED),licensed,melee) in the place of awm_jax/cartridges/melee"

# The Solana program and its C header; needs Debian 12's clang 14.
onchain: $(VENV)/.test
	@$(BIN)/python onchain/build.py

# The integer machine for browsers; needs Debian 12's clang 14 and lld 14.
wasm: $(VENV)/.test
	@$(BIN)/python wasm/build.py

lint: $(VENV)/.test
	$(BIN)/ruff check --quiet .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/pyright --pythonpath $(BIN)/python

# Writes the constraints of this Python's version, all extras included. What a CUDA build of PyTorch
# asks for is left out: PyTorch pins that itself.
lock: $(VENV)/.python
	@$(PIP) install --dry-run --ignore-installed --report $(VENV)/report.json ".[$(ALL_EXTRAS)]"
	@$(BIN)/python -c 'import json, sys; \
	  packages = [i["metadata"] for i in json.load(open(sys.argv[1]))["install"]]; \
	  pins = ["%s==%s" % (p["name"].lower(), p["version"].split("+")[0]) for p in packages]; \
	  ours = [p for p in pins if not p.startswith(("awm-jax", "nvidia-", "cuda-", "triton"))]; \
	  print(*sorted(ours), sep="\n")' $(VENV)/report.json > $(VENV)/pins.txt
	@mv $(VENV)/pins.txt constraints-$$($(VERSION)).txt

clean:
	rm -rf .venv build dist demo-out .pytest_cache .ruff_cache .hypothesis
	find awm_jax converters crank tests benchmarks -name __pycache__ -prune -exec rm -rf {} +

$(VENV)/.python:
	@for p in $(PYTHON); do \
	  if "$$p" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; \
	  then echo "Making $(VENV) with $$p"; "$$p" -m venv $(VENV) && touch $@; exit; fi; \
	done; \
	echo "awm-jax needs Python 3.11 or newer with its venv module; none of these is that:" \
	  "$(PYTHON). Name one: make PYTHON=/path/to/python3.11" >&2; exit 1

$(WHEEL)/.built: $(SOURCES) | $(VENV)/.python
	@echo "Building the wheel"
	@rm -rf $(WHEEL)
	@$(PIP) wheel --no-deps --wheel-dir $(WHEEL) .
	@touch $@

$(VENV)/.core: pyproject.toml $(CONSTRAINTS) | $(WHEEL)/.built
	@echo "Installing the core packages into $(VENV) (jax, flax and what they need; a minute or so)"
	@$(PIP) install $(PINNED) $(WHEEL)/*.whl
	@rm -rf $(VENV)/jax
	@touch $@

$(VENV)/.extras: pyproject.toml $(CONSTRAINTS) | $(VENV)/.core
	@echo "Installing what the tests need: $(TEST_EXTRAS) (PyTorch is large; some minutes)"
ifneq ($(TORCH_INDEX),)
	@$(PIP) install $(PINNED) --index-url $(TORCH_INDEX) torch
endif
	@$(PIP) install $(PINNED) "$$(echo $(WHEEL)/*.whl)[$(TEST_EXTRAS)]"
	@touch $@

# A newer wheel of the same version replaces the installed one.
$(VENV)/.installed: $(WHEEL)/.built | $(VENV)/.core
	@$(PIP) install --no-deps --force-reinstall $(WHEEL)/*.whl
	@touch $@

$(VENV)/.test: $(VENV)/.installed | $(VENV)/.extras
	@touch $@
