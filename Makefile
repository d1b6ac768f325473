# make help lists the targets. Everything runs in .venv, which `make deps` makes from the lock file.
SHELL := /bin/sh
PY := .venv/bin/python
CACHE ?= $(HOME)/.cache/kcloud-autoscale
UV = $(CACHE)/uv-$(shell cksum <hack/uv.lock | cut -d' ' -f1)/bin/uv
# repository:tag of the operator's image; the repository may have a port of its own.
IMAGE ?= kcloud-autoscale:dev
# Forecasts are many small matrix products; threads only fight over the cores.
export OMP_NUM_THREADS := 1
export OPENBLAS_NUM_THREADS := 1
# Without bytecode each of some hundred processes compiles its libraries: 15 s of a core until an operator runs.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help deps lock cluster-deps generate manifests build image run install deploy demo check test test-unit test-replay test-integration test-e2e bench bench-forecast bench-decisions bench-writes mutation all clean

help: ## this list
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  %-18s %s\n", $$1, $$2}'

.venv/synced: requirements-dev.lock pyproject.toml hack/bootstrap hack/uv.lock
	@hack/bootstrap

deps: .venv/synced ## the locked Python dependencies, in .venv

lock: deps ## refresh the lock files from pyproject.toml
	$(UV) pip compile pyproject.toml --universal --generate-hashes --no-header -q -o requirements.lock
	$(UV) pip compile --group build --universal --generate-hashes --no-header -q -o requirements-build.lock
	$(UV) pip compile pyproject.toml --group dev --universal --generate-hashes --no-header -q -c requirements.lock -o requirements-dev.lock

cluster-deps: deps ## build the local control plane, Prometheus and helm (cached)
	@$(PY) -m hack.cluster build

generate: deps ## render crds/ and the generated docs from the code
	$(PY) -m hack.generate

manifests: generate ## the same as generate

build: deps ## the wheel and the source archive, in dist/
	$(UV) build --quiet --no-build-isolation --python $(PY) --out-dir dist

image: deps ## the operator's image, by Debian's buildah where there is no engine (its size; 2 min once, then seconds)
	$(PY) -m hack.image

run: deps ## the operator against the current kubeconfig
	$(PY) -m kcloud_autoscale run

install: generate ## the CRDs into the current cluster
	kubectl apply --server-side -f crds/

deploy: generate ## the operator into the current cluster, by helm (IMAGE=repository:tag HELM="--set …")
	helm upgrade --install kcloud-operator charts/kcloud-operator --namespace kcloud-system --create-namespace \
	  --take-ownership --set image.repository=$(shell i=$(IMAGE); echo $${i%:*}),image.tag=$(shell i=$(IMAGE); echo $${i##*:}) $(HELM)

demo: cluster-deps ## everything from nothing: a cluster, a load, the operator beside the real HPA, a report
	@$(PY) -m hack.demo

check: deps ## ruff, mypy strict, import contracts, generated files in sync
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	.venv/bin/lint-imports
	$(PY) -m hack.generate --check

test-unit: deps ## the pure core, no network, in seconds
	$(PY) -m pytest tests/unit tests/scenarios -q -n 2

test-replay: deps ## forecasts, simulations and backtests over days of demand; the tools in hack/
	$(PY) -m pytest tests/replay tests/contract tests/hack -q -n 2

test-integration: cluster-deps ## every shell against its real counterpart
	$(PY) -m pytest tests/integration -q -n 2 --dist loadfile

test-e2e: cluster-deps ## the operator as a process on a real control plane
	$(PY) -m pytest tests/e2e -q -n 2 --dist loadfile

test: check test-unit test-replay test-integration test-e2e ## everything

bench: deps ## speed and memory, and the model card's scores anew (BENCH="--sizes 1000 --cycles 5" is quick)
	$(PY) -m hack.bench speed $(BENCH)

bench-forecast: deps ## forecasters on the same series: accuracy and cost (BENCH="--most 2 --models --sizes 1000")
	$(PY) -m hack.bench forecast $(BENCH)

bench-decisions: deps ## every policy on the same traces: violations, replica-hours, changes (BENCH="--most 2")
	$(PY) -m hack.bench decisions $(BENCH)

bench-writes: cluster-deps ## a step of everybody's load on a real API server: whose write comes when (BENCH="--workloads 200")
	$(PY) -m hack.bench writes $(BENCH)

mutation: deps ## small faults in decide, tick, act, account, observe that no unit test notices (MUTATION="--rooms decide")
	$(PY) -m hack.mutation $(MUTATION)

all: generate check test build ## everything, and the wheel

clean: ## what the targets above made, but not the cache
	rm -rf .venv dist out .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
