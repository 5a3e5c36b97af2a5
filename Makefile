# sgdflow: `make help` lists what can be done. Needs Python >= 3.11 with pip, and make.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
# Bytecode makes every later start about two seconds faster.
export PYTHONDONTWRITEBYTECODE =
export MLFLOW_DISABLE_TELEMETRY = true

.DEFAULT_GOAL := help
.PHONY: help demo ui test lint types tests test-engines reference bench bench-peers curves fuzz endurance pictures lock audit sbom clean

help: ## Show this help
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

demo: $(VENV)/.installed ## Install, and optimise the tariff desk with simulated models
	$(BIN)/sgdflow optimize experiments=quickstart

ui: $(VENV)/.installed ## Open the MLflow UI on the recorded runs
	$(BIN)/sgdflow ui

test: lint types tests ## Install, then lint, check types and run all tests

lint: $(VENV)/.installed-dev ## Check style and the order of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(VENV)/.installed-dev ## Check types
	$(BIN)/mypy

tests: $(VENV)/.installed-dev ## Run the tests
	$(BIN)/python -m pytest -q

reference: $(VENV)/.installed ## Write docs/reference.md anew from the schema of the configuration
	$(BIN)/python docs/reference.py

ENGINES ?= joblib slurm_local ray slurm mlflow optuna
test-engines: $(VENV)-engines/.installed ## Run sweeps on joblib, submitit, Ray, Slurm, an MLflow server and by Optuna (a quarter of an hour; docs/scale.md)
	SGDFLOW_ENGINES="$(ENGINES)" $(VENV)-engines/bin/python -m pytest -q -n 0 -rs tests/engines

bench: $(VENV)/.installed ## Measure speed (some minutes; benchmarks/README.md)
	@$(BIN)/python benchmarks/first_call.py
	@$(BIN)/python benchmarks/step.py
	@$(BIN)/python benchmarks/calls.py cpu
	@$(BIN)/python benchmarks/calls.py stored --times 2
	@$(BIN)/python benchmarks/calls.py rate --times 2
	@$(BIN)/python benchmarks/store.py
	@$(BIN)/python benchmarks/recording.py --times 1

bench-peers: $(VENV)/.installed ## Measure the same job in TextGrad, DSPy, Trace and AdalFlow (benchmarks/README.md)
	@$(BIN)/python benchmarks/peers.py --environments $(VENV)-peers

curves: $(VENV)/.installed-dev ## Measure how cost grows with examples, nodes, calls at once and jobs, and draw it
	@$(BIN)/python benchmarks/curves.py

fuzz: $(VENV)/.installed ## Feed made-up and broken inputs to everything that reads (benchmarks/README.md)
	$(BIN)/python benchmarks/fuzz.py 100000

endurance: $(VENV)/.installed-dev ## Kill runs 40 times; have three calls in ten fail, over 10 seeds; run the longest tests (docs/reliability.md)
	SGDFLOW_KILLS=40 SGDFLOW_FAULT_SEEDS=10 $(BIN)/python -m pytest -q -m "" tests/records/test_resume.py tests/llm/test_faults.py
	$(BIN)/python -m pytest -q -m long --deselect tests/records/test_resume.py

pictures: $(VENV)/.installed ## Draw the example graphs of docs/graphs.md anew
	$(BIN)/python docs/pictures.py

lock: ## Pin all dependencies anew (needs uv)
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header \
	  --group dev --group agents pyproject.toml -o requirements-dev.lock
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header \
	  pyproject.toml -c requirements-dev.lock -o requirements.lock
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --group dev \
	  --extra joblib --extra slurm --extra ray --extra optuna --extra postgres pyproject.toml -o requirements-engines.lock

audit: ## Look the locked packages up among known vulnerabilities (needs the network)
	$(call with_tool,pip-audit==2.10.1,pip-audit --strict --disable-pip --require-hashes \
	  -r requirements.lock -r requirements-dev.lock)

sbom: ## Write sbom.json, a CycloneDX bill of materials of the lock (needs the network for its tool)
	$(call with_tool,cyclonedx-bom==7.5.0,cyclonedx-py requirements requirements.lock \
	  --pyproject pyproject.toml --output-reproducible --of JSON -o sbom.json)

# A tool in an environment of its own, which is thrown away: it is no part of what it looks at.
define with_tool
	@tools=$$(mktemp -d) && trap 'rm -rf "$$tools"' EXIT && $(PYTHON) -m venv "$$tools" \
	  && "$$tools/bin/pip" install -q --disable-pip-version-check $(1) && "$$tools/bin/"$(2)
endef

clean: ## Remove the environment and caches; runs stay
	rm -rf $(VENV) $(VENV)-engines $(VENV)-peers .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

$(VENV)/.installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "sgdflow needs Python >= 3.11; name one with: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps -e .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed requirements-dev.lock
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@

# The extras hold some packages below what the other locks have: an environment of its own.
$(VENV)-engines/.installed: requirements-engines.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)-engines
	$(VENV)-engines/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements-engines.lock
	$(VENV)-engines/bin/python -m pip install -q --disable-pip-version-check --no-deps -e .
	@touch $@
