# Every target sets up the virtual environment it needs first (integration/setup_env.py); later runs reuse it.
# The engines have one each: .venv for vLLM, in which everything but SGLang runs, and .venv-sglang.
PYTHON ?= python3
ENGINE ?= vllm
PORT   ?= 8000
MODEL  ?=
FLAGS  ?=

ENGINES    := vllm sglang
BIN        := .venv/bin
ENGINE_BIN := $(if $(filter sglang,$(ENGINE)),.venv-sglang,.venv)/bin
MODEL_FLAG := $(if $(MODEL),--model $(MODEL))
$(if $(filter $(ENGINE),$(ENGINES)),,$(error ENGINE is one of: $(ENGINES)))

.DEFAULT_GOAL := help
.PHONY: help demo test test-fast test-engine test-long check lint types serve bench soak docs setup setup-vllm setup-sglang clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "Variables: ENGINE (demo, serve, soak, test-engine: vllm or sglang), PORT and MODEL and FLAGS (demo, serve, soak),"
	@echo "           PYTHON (interpreter to start from)"

demo: setup-$(ENGINE) ## Compare the stock engine with latticework on real requests (a few minutes)
	@$(ENGINE_BIN)/python -m integration.demo.run --engine $(ENGINE) $(MODEL_FLAG) $(FLAGS)

test: setup ## All tests but the longest: the fast ones, then those that start the real engines
	@$(MAKE) --no-print-directory test-fast
	@for engine in $(ENGINES); do $(MAKE) --no-print-directory test-engine ENGINE=$$engine || exit 1; done

test-fast: setup-vllm ## Tests that need no engine, on every core
	@$(BIN)/python -m integration.model
	@$(BIN)/python -m pytest -q -m "not engine" --numprocesses auto --dist worksteal

test-engine: setup-$(ENGINE) ## Tests against the real ENGINE with a real model (half an hour)
	@$(ENGINE_BIN)/python -m integration.model
	@$(ENGINE_BIN)/python -m pytest -q -m "engine and not long"

test-long: setup-$(ENGINE) ## The longest tests against the real ENGINE: trees, preemption, aborts, CPU support
	@$(ENGINE_BIN)/python -m integration.model
	@$(ENGINE_BIN)/python -m pytest -q -m long

check: lint types test-fast ## Lint, types and fast tests: before every commit

lint: setup-vllm
	@$(BIN)/ruff check .

types: setup-vllm
	@$(BIN)/mypy -p latticework.structured -p latticework.speculative -p latticework.plugins -p latticework.bench

serve: setup-$(ENGINE) ## An engine with latticework on port $(PORT), until Ctrl-C
	@$(ENGINE_BIN)/python -m integration.server --engine $(ENGINE) --port $(PORT) $(MODEL_FLAG) $(FLAGS)

bench: setup-vllm ## Overhead of latticework installed but not switched on
	@$(BIN)/python -m integration.bench.overhead $(MODEL_FLAG) $(FLAGS)

soak: setup-$(ENGINE) ## Twenty minutes of mixed traffic on ENGINE: memory, faults, what is left
	@$(ENGINE_BIN)/python -m integration.bench.soak --engine $(ENGINE) $(MODEL_FLAG) $(FLAGS)

docs: setup-vllm ## Write the generated pages, build the manual into site/
	@$(BIN)/python -m integration.capabilities
	@$(BIN)/python -m integration.metrics_page
	@$(BIN)/python -m integration.options_page
	@$(BIN)/mkdocs build --strict --quiet

setup: ## Make the environments of both engines
	@$(PYTHON) integration/setup_env.py $(ENGINES)

setup-vllm setup-sglang: setup-%:
	@$(PYTHON) integration/setup_env.py $*

clean: ## Remove the environments and everything generated here
	rm -rf .venv .venv-sglang .cache .typing build dist site demo-output .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	find . -name '*.egg-info' -type d -prune -exec rm -rf {} +
	@echo "Converted models stay in the user cache: $${XDG_CACHE_HOME:-$$HOME/.cache}/latticework"
