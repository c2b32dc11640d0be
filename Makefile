# Bare `make` prints the targets. Two environments: .venv for services, export and tests; .venv-triton for Triton.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
# Many single-threaded processes share the cores; thread pools in them would compete for the cores.
export OMP_NUM_THREADS ?= 1
# The tests start hundreds of processes: none of them should compile the same modules again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup models demo up down test fuzz fuzz-api chaos chaos-long rolling soak gallery \
        lint format protos lock train-demo evaluate-demo sweep-demo bench bench-hints bench-openvino bench-intake \
        bench-jobs bench-attacks bench-fairness export-real clean

help: ## Print this list
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## /{printf "  %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/.done .venv-triton/.done ## Create both environments from the locked requirements

.venv/.done: requirements/mesh.lock requirements/torch.txt pyproject.toml
	@$(PYTHON) model_server/platform_check.py
	@echo "services' environment: installing locked packages (about 2 GB including torch; a few minutes the first time)"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@requirements/install.sh .venv requirements/mesh.lock --no-deps --require-hashes
	@requirements/install.sh .venv requirements/torch.txt
	@$(BIN)/pip install --disable-pip-version-check -q --no-deps --no-build-isolation -e .
	@touch $@

.venv-triton/.done: requirements/model-server.lock
	@$(PYTHON) model_server/platform_check.py
	@echo "model server's environment: installing Triton, ONNX Runtime and OpenVINO (about 0.5 GB)"
	@test -x .venv-triton/bin/python || $(PYTHON) -m venv .venv-triton
	@requirements/install.sh .venv-triton requirements/model-server.lock --no-deps --require-hashes
	@touch $@

models: .venv/.done ## Export the shipped demo model and its annotator to ONNX (skipped when nothing changed)
	@$(BIN)/python -m export demo
	@$(BIN)/python -m export annotator demo

demo: setup models ## Start the whole mesh, generate one controlled picture, print its path, stop
	@$(BIN)/python -m local demo

up: setup models ## Start the whole mesh and keep it running until Ctrl-C
	@$(BIN)/python -m local up

down: ## Stop a mesh that was left running
	@$(BIN)/python -m local down

test: setup models ## Run every test
	@$(BIN)/python -m pytest tests -n 4

test-%: setup models
	@$(BIN)/python -m pytest tests/$*

test-unit: ## Run the tests that take seconds, without processes or network
test-contract: ## Test the vendors' documented requests and replies
test-integration: ## Test with real Triton, real Envoy, real gRPC
test-parity: ## Compare pictures with those of diffusers
test-e2e: ## Test the whole mesh through its edge
test-faults: ## Test what happens when services fail

test-parity-full: setup models ## Compare every feature with every scheduler with diffusers; writes docs/parity.md
	@$(BIN)/python -m pytest tests/parity/test_parity_matrix.py tests/parity/test_parity_sdxl.py \
	  tests/parity/test_parity_flux.py tests/parity/test_parity_concat.py --every-case --parity-table docs/parity.md

fuzz: setup ## Test hostile pictures and parameters with Hypothesis' deep profile
	@$(BIN)/python -m pytest tests/unit/mesh/test_fuzz_pictures.py tests/unit/preprocess_svc/test_fuzz_controls.py --hypothesis-profile=deep

chaos: setup models ## Kill a mesh's processes during forty jobs, on SQLite and PostgreSQL; writes docs/chaos.md
	@$(BIN)/python -m benchmarks.chaos --write docs/chaos.md

chaos-long: setup models ## Kill processes for five minutes during 200 jobs of four dialects; writes docs/chaos.md
	@$(BIN)/python -m benchmarks.chaos --jobs 200 --minutes 5 --every 3 --dialects native,enterprise,scenario,grpc \
	  --write docs/chaos.md

rolling: setup models ## Restart two replicas of every service one after another under load; writes docs/rolling.md
	@$(BIN)/python -m benchmarks.rolling --write docs/rolling.md

soak: setup models ## Keep a mesh busy for half an hour and look for what grows; writes docs/soak.md
	@$(BIN)/python -m benchmarks.soak --write docs/soak.md

fuzz-api: setup ## Send 10,000 requests generated from the native API's OpenAPI document
	@$(BIN)/python -m tests.rigs.fuzz_api --cases 10000

lint: .venv/.done ## Check style, types, import directions, protos and generated files
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@cd protos && ../$(BIN)/buf lint
	@$(BIN)/python protos/generate.py --check
	@$(BIN)/python client/generate.py --check
	@$(BIN)/python -m export demo --check-configs
	@$(BIN)/python -m export annotator demo --check-configs
	@$(BIN)/python -m local docs --check
	@$(BIN)/python -m tests.faults.page --check

format: .venv/.done ## Rewrite the code in the project's style
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

protos: .venv/.done ## Rewrite the gRPC stubs from the .proto files
	@$(BIN)/python protos/generate.py

lock: ## Rewrite the locked requirements from pyproject.toml (needs uv)
	@./requirements/lock.sh

train-demo: .venv/.done ## Train the demo model from scratch into run/train-demo (about two hours on two cores)
	@$(BIN)/python -m demo train --out run/train-demo

evaluate-demo: setup models ## Measure adherence to prompts and hints through the running mesh, print the table
	@$(BIN)/python -m local evaluate

sweep-demo: setup models ## Measure edges against a control's weight, end and guess mode; writes docs/control_strength.md
	@$(BIN)/python -m local sweep

bench: setup models ## Compare the mesh with diffusers' own pipeline and write docs/benchmark.md
	@$(BIN)/python -m benchmarks.mesh --write docs/benchmark.md

bench-hints: setup models ## Compare hints with controlnet_aux and write docs/hints_benchmark.md
	@$(BIN)/python -m benchmarks.hints --write docs/hints_benchmark.md

bench-intake: setup ## Measure decoding in processes of its own; writes docs/intake_benchmark.md
	@$(BIN)/python -m benchmarks.intake --write docs/intake_benchmark.md

bench-openvino: setup models ## Compare the demo's graphs under OpenVINO with ONNX Runtime; writes docs/openvino.md
	@$(BIN)/python -m benchmarks.accelerated --write docs/openvino.md

bench-jobs: setup ## Measure the overhead of jobs; writes docs/jobs_benchmark.md
	@$(BIN)/python -m benchmarks.jobs --write docs/jobs_benchmark.md

bench-attacks: setup models ## Measure how long others wait during attacks; writes docs/attacks_benchmark.md
	@$(BIN)/python -m benchmarks.attacks --write docs/attacks_benchmark.md

bench-fairness: setup ## Measure how long one owner waits while another floods; writes docs/fairness.md
	@$(BIN)/python -m benchmarks.fairness --write docs/fairness.md

export-real: setup ## Export models of real size with random weights, measure time and memory; writes docs/export_real.md
	@$(BIN)/python -m benchmarks.export_real --write docs/export_real.md

gallery: setup models ## Show every control type on the same pictures; writes docs/gallery.md
	@$(BIN)/python -m local gallery

clean: ## Remove what was built: logs, exported graphs, caches (environments stay)
	@rm -rf run build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find model_repository -name model.onnx -delete; rm -f model_repository/*/{manifest,tokenizer,annotator}.json
