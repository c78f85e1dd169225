# Every target sets up its own virtual environment first (integration/setup_env.py); later runs reuse it.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PORT   ?= 8000
MODEL  ?=
FLAGS  ?=

MODEL_FLAG := $(if $(MODEL),--model $(MODEL))

.DEFAULT_GOAL := help
.PHONY: help demo test test-fast test-engine check lint types serve bench docs setup clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "Variables: PYTHON (interpreter to start from), VENV, PORT and MODEL and FLAGS (serve, demo)"

demo: setup ## Compare stock vLLM with latticework on real requests (a few minutes)
	@$(BIN)/python -m integration.demo.run $(MODEL_FLAG) $(FLAGS)

test: test-fast test-engine ## All tests: the fast ones, then those that start a real engine

test-fast: setup ## Tests that need no engine
	@$(BIN)/python -m pytest -q -m "not engine"

test-engine: setup ## Tests against a real vLLM with a real model (minutes)
	@$(BIN)/python -m integration.model
	@$(BIN)/python -m pytest -q -m engine

check: lint types test-fast ## Lint, types and fast tests: before every commit

lint: setup
	@$(BIN)/ruff check .

types: setup
	@$(BIN)/mypy -p latticework.structured -p latticework.speculative -p latticework.plugins

serve: setup ## vLLM with latticework on port $(PORT), until Ctrl-C
	@$(BIN)/python -m integration.server --port $(PORT) $(MODEL_FLAG) $(FLAGS)

bench: setup ## Overhead of latticework installed but not switched on
	@$(BIN)/python -m integration.bench.overhead $(MODEL_FLAG) $(FLAGS)

docs: setup ## Build the manual into site/
	@$(BIN)/mkdocs build --strict --quiet

setup:
	@$(PYTHON) integration/setup_env.py $(VENV)

clean: ## Remove the environment and everything generated here
	rm -rf .venv .cache .typing build dist site demo-output .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	find . -name '*.egg-info' -type d -prune -exec rm -rf {} +
	@echo "Converted models stay in the user cache: $${XDG_CACHE_HOME:-$$HOME/.cache}/latticework"
