# make demo   set everything up in .venv and run the whole road on real digits
# make test   set everything up and run linters, types and the whole test suite
# make test-ci     what continuous integration runs beside `make test`: test-triton, test-frameworks and test-witness
# make test-long      ten thousand drawn networks: sim against Lava's models and a scalar oracle; drawn NIR graphs
# make test-triton      the fused neuron's GPU kernels, in Triton's interpreter and compiled ahead of time; Linux only
# make test-frameworks  networks of Sinabs and Rockpool, and what neurobench counts, each in an environment of its own
# make test-witness   LIF networks on Lava, nengo-loihi, brian2-loihi and SANA-FE; needs Python 3.11
# make zoo          train the zoo's models again, and measure them: models/*/model.nir, their cards, README's table

PYTHON ?= $(shell for p in python3 python3.11 python3.12 python3.13 python3.10; do \
	$$p -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
TRITON := .venv-triton
OUT ?= demo_out

.PHONY: help setup demo test test-ci test-long test-triton test-witness test-frameworks zoo lint format types pytest clean

help:
	@sed -n 's/^# //p' Makefile

$(VENV)/.ready: pyproject.toml constraints.txt tests/frameworks.txt Makefile
	@test -n "$(PYTHON)" || { echo "no Python 3.10 to 3.13 found; install one, or say make PYTHON=/path/to/python3"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[lava,dev]'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r tests/frameworks.txt
	$(BIN)/neuro_deploy install-lava
	@touch $@

setup: $(VENV)/.ready

demo: setup
	$(BIN)/neuro_deploy demo --out $(OUT)

test: lint types pytest

test-ci: test-triton test-frameworks test-witness

lint: setup
	$(BIN)/ruff check neuro_deploy tests benchmarks docs examples
	$(BIN)/ruff format --check neuro_deploy tests benchmarks docs examples

types: setup
	$(BIN)/mypy

pytest: setup
	$(BIN)/pytest -rs

test-long: setup
	$(BIN)/pytest -m long

## A folder with Triton alone, where torch did not bring it.
$(TRITON)/.ready: $(VENV)/.ready constraints.txt
	rm -rf $(TRITON) && mkdir $(TRITON)
	$(BIN)/python -c 'import triton' 2>/dev/null || $(BIN)/python -m pip install --quiet --disable-pip-version-check \
		--no-deps -c constraints.txt --target $(TRITON) triton
	@touch $@

test-triton: $(TRITON)/.ready
	NEURO_DEPLOY_TRITON=1 PYTHONPATH=$(CURDIR)/$(TRITON) $(BIN)/pytest tests/test_fused_gpu.py

test-witness: setup
	$(BIN)/python tests/witness/environments.py
	$(BIN)/pytest -m witness tests/witness

test-frameworks: setup
	$(BIN)/python tests/frameworks/environments.py
	$(BIN)/pytest -m frameworks tests/frameworks

zoo: setup
	OMP_NUM_THREADS=1 $(BIN)/python docs/zoo.py

format: setup
	$(BIN)/ruff check --fix neuro_deploy tests benchmarks docs examples
	$(BIN)/ruff format neuro_deploy tests benchmarks docs examples

clean:
	rm -rf $(VENV) .venv-nengo .venv-brian2 .venv-sanafe .venv-neurobench $(TRITON) .venv-sinabs .venv-rockpool .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist
