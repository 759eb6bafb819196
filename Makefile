# theradose: `make demo` and `make test` set everything up by themselves. Research use only.
PY ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
CORES ?= 2
# Address of an index (or folder) of CPU wheels of torch; without it pip takes the build your package index offers first.
TORCH_INDEX ?=
TORCH_FROM := $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX) --find-links $(TORCH_INDEX))
PIP := $(BIN)/python -m pip -qq --disable-pip-version-check

export PATH := $(CURDIR)/$(BIN):$(PATH)
export MLFLOW_DISABLE_TELEMETRY := true
export DO_NOT_TRACK := 1
# One thread per job keeps results identical for any number of cores.
export OMP_NUM_THREADS := 1
export OPENBLAS_NUM_THREADS := 1
export MKL_NUM_THREADS := 1
export ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS := 1

# The study of the targets demo, resume, dag and record; another one: make demo CONFIG=config/mine.yaml
CONFIG ?= config/demo.yaml
SNAKEMAKE = snakemake --configfile $(CONFIG) --cores $(CORES)
PORT ?= 5000

.PHONY: help demo quick resume test test-all benchmark-uncertainty benchmark-fits benchmark-dose benchmark-features benchmark-training benchmark-learning benchmark-toxicity benchmark-planning benchmark-latency benchmark-shifted monte-carlo kernels validate lint format ui record pull schema docs workflow-report lock clean env real
help:            ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 24

env: $(READY)    ## create or refresh the environment .venv from the lock
	@$(if $(filter env,$(MAKECMDGOALS)),echo "theradose: ready; in each shell: source $(BIN)/activate (or call $(BIN)/theradose)",:)
$(READY): requirements.in requirements-dev.in constraints.txt pyproject.toml
	$(PY) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "theradose needs Python 3.11 or newer: make PY=python3.11 ...")'
	$(PY) -m venv $(VENV)
	$(PIP) install --upgrade "pip>=25,<27"
	@echo "theradose: installing the locked environment (2 to 4 minutes, about 2.3 GB with the CPU build of torch)"
	$(PIP) install $(TORCH_FROM) -r requirements.in -r requirements-dev.in -c constraints.txt
	$(PIP) install --no-deps --no-build-isolation -e .
	touch $@

demo: env        ## the whole study on virtual patients, from nothing to results/demo/report/index.html
	$(SNAKEMAKE) --quiet host reason
	@if [ "$(CONFIG)" = config/demo.yaml ]; then python scripts/show_faults.py data/demo; fi

quick: env       ## the smallest whole study, in minutes
	@$(MAKE) --no-print-directory demo CONFIG=config/quick.yaml

resume: env      ## go on with a run that was killed (make resume CONFIG=...)
	theradose resume --configfile $(CONFIG) --cores $(CORES)

test: env        ## unit tests, architecture and workflow tests: a few minutes on two cores
	pytest -n $(CORES) --dist loadfile

test-all: env    ## the same and the slow ones: whole studies, kill -9, versions
	pytest -m ""

benchmark-uncertainty: env ## figures of the uncertainty budget beside their bars (2 to 3 minutes)
	python benchmarks/uncertainty.py

benchmark-fits: env ## figures of the time-activity fits beside their bars (4 minutes of one core)
	python benchmarks/kinetics.py

benchmark-dose: env ## figures of the dose engine beside their bars, and what shortcuts cost (1 minute of one core)
	python benchmarks/dose.py

benchmark-features: env ## features beside a plain loop of PyRadiomics calls: speed, equal values, memory (3 minutes)
	python benchmarks/features.py

benchmark-training: env ## training of networks beside a bare loop of torch on the same batches (2 minutes of one core)
	python benchmarks/training.py

benchmark-learning: env ## learning curves of models beside the smallest possible error (virtual; about ten minutes of one core)
	python benchmarks/learning.py

benchmark-toxicity: env ## predicted toxicity and response beside the best possible AUC (virtual; about ten minutes of one core)
	python benchmarks/toxicity.py

benchmark-planning: env ## how often planned activities break limits on fresh patients, beside what was stated (virtual; four minutes of one core)
	python benchmarks/planning.py

benchmark-latency: env ## 130 covariates of the latency beside five quantities and the limit (virtual; a quarter of an hour of one core)
	python benchmarks/latency.py

benchmark-shifted: env ## whether shifted patients are told from ordinary ones, through images (virtual; a trained study first)
	python benchmarks/shifted.py results/neuroendocrine-quick

monte-carlo: env ## add the Monte Carlo package (GPL-3) to the environment: dose.engine: monte_carlo, kernels, validate
	$(PIP) install scripts/monte_carlo

kernels: monte-carlo ## make the table of dose point kernels again by Monte Carlo (one to two hours of one core)
	python scripts/monte_carlo/make_kernels.py --parts .kernels
	python scripts/monte_carlo/make_kernels.py --parts .kernels --join

validate: monte-carlo ## compare kernels, spheres and the engine `kernel` with direct Monte Carlo
	python scripts/monte_carlo/validate.py

lint: env        ## ruff, mypy, snakefmt and the workflow's own linter
	ruff check .
	ruff format --check .
	mypy
	snakefmt --check Snakefile workflow
	snakemake --lint --configfile $(CONFIG)

format: env      ## write Python and workflow files in the one format
	ruff check --fix-only .
	ruff format .
	snakefmt Snakefile workflow

# Folder that holds lu177_dotatate_spect/ and ibsi/sts_pet_ct/ (docs/your-own-data.md says where they come from).
DATA ?=
real: env        ## two worked examples on real public images: make real DATA=<folder>
	@test -n "$(DATA)" || { echo "theradose: say where the images are: make real DATA=<folder> (docs/your-own-data.md)"; exit 2; }
	theradose import "$(DATA)/lu177_dotatate_spect" --to data/real-lu177 --patient dotatate01 --centre michigan \
	  --decay-reference scan_start
	snakemake --configfile config/real-lu177.yaml --cores $(CORES) --quiet host reason
	mkdir -p data/real-sts
	theradose import "$(DATA)/ibsi/sts_pet_ct" --propose data/real-sts/mapping.tsv --pet-units SUV --mask-label lesion_01
	theradose import "$(DATA)/ibsi/sts_pet_ct" --mapping data/real-sts/mapping.tsv --to data/real-sts
	snakemake --configfile config/real-sts.yaml --cores $(CORES) --quiet host reason

ui: env          ## the experiment dashboard on http://127.0.0.1:5000 (PORT=...); choose "Model training" in it
	MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false mlflow server --backend-store-uri $${MLFLOW_TRACKING_URI:-sqlite:///mlflow.db} \
	  --artifacts-destination mlartifacts --host 127.0.0.1 --port $(PORT) --workers 1

record: env      ## give the demo's data set and models a version (DVC): dvc.lock and metrics/ are then for git
	theradose record

pull: env        ## fetch the recorded data set and models, and tell Snakemake that they are up to date
	dvc pull
	$(SNAKEMAKE) --touch --forceall --quiet host reason

schema: env      ## write the JSON schema of the settings again
	theradose schema --out workflow/schemas/config.schema.yaml

docs: env        ## draw the graph of rules again
	@printf '# The graph of rules\n\nMade by `make docs`: the demo study, and one that learns more.\n' > docs/rulegraph.md
	@for study in $(CONFIG) config/neuroendocrine.yaml; do \
	  printf '\n## `%s`\n\n```mermaid\n' $$study >> docs/rulegraph.md; \
	  snakemake --rulegraph mermaid-js --configfile $$study --quiet all >> docs/rulegraph.md || exit 1; \
	  printf '```\n' >> docs/rulegraph.md; done

workflow-report: env ## Snakemake's own report: which job made what, how long it took
	$(SNAKEMAKE) --report results/snakemake-report.html

lock:            ## after a change of requirements*.in: resolve anew and write constraints.txt
	$(PY) -m venv .venv-lock
	.venv-lock/bin/python -m pip install -qq --upgrade "pip>=25,<27"
	.venv-lock/bin/python -m pip install -qq $(TORCH_FROM) -r requirements.in -r requirements-dev.in
	.venv-lock/bin/python -m pip freeze --all | grep -v '^pip==' | sed 's/+cpu$$//' > constraints.txt
	rm -rf .venv-lock

clean:           ## remove caches and what tests left (never data, results or models)
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
