# theradose: `make demo` and `make test` set everything up by themselves. Research use only.
PY ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
CORES ?= 2
# Address of an index (or folder) of CPU wheels of torch; without it pip takes the build your package index offers first.
TORCH_INDEX ?=
TORCH_FROM := $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX) --find-links $(TORCH_INDEX))
PIP := $(BIN)/python -m pip --disable-pip-version-check

export PATH := $(CURDIR)/$(BIN):$(PATH)
export MLFLOW_DISABLE_TELEMETRY := true
export DO_NOT_TRACK := 1
# One thread per job keeps results identical for any number of cores.
export OMP_NUM_THREADS := 1
export OPENBLAS_NUM_THREADS := 1
export MKL_NUM_THREADS := 1
export ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS := 1

.PHONY: help demo test test-all lint ui lock clean env real record pull quick format docs
help:            ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 12

env: $(READY)    ## create or refresh the environment .venv from the lock
$(READY): requirements.in requirements-dev.in constraints.txt pyproject.toml
	$(PY) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "theradose needs Python 3.11 or newer: make PY=python3.11 ...")'
	$(PY) -m venv $(VENV)
	$(PIP) install -q --upgrade "pip>=25,<27"
	@echo "theradose: installing the locked environment (2 to 4 minutes, about 2.3 GB with the CPU build of torch)"
	$(PIP) install -q $(TORCH_FROM) -r requirements.in -r requirements-dev.in -c constraints.txt
	$(PIP) install -q --no-deps --no-build-isolation -e .
	touch $@
