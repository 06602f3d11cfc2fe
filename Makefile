# Every target calls a script of the same name in scripts/, which works without make too.
.DEFAULT_GOAL := help
.PHONY: help demo prove pods image-figures test lint format render scatter weight constraints bench install-tools

help: ## List the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## Render the default, boot its production server, show it answering and draining
	@scripts/demo $(ARGS)

prove: ## Count what rendered services lose under load, and what they would with the stock worker
	@scripts/prove $(ARGS)

pods: ## Stop servers the way Kubernetes stops pods, under load, and count what is lost
	@scripts/pods $(ARGS)

image-figures: ## Measure images: size, time to build (docker; it empties the cache of builds)
	@scripts/image-figures $(ARGS)

test: ## Run all tests, tier by tier: make test ARGS="render -k database-none"
	@scripts/test $(ARGS)

lint: ## Check style, formatting and types
	@scripts/lint

format: ## Format the code and fix what can be fixed
	@scripts/uv run --frozen ruff check --fix
	@scripts/uv run --frozen ruff format

render: ## Render the working tree: make render OPTIONS="database=none ci=none" DEST=/tmp/service
	@scripts/render $(ARGS) "$(DEST)" $(OPTIONS)

scatter: ## Print where each option is used in the template
	@scripts/scatter

weight: ## Print how many files and lines the three named variants have, by directory
	@scripts/weight

constraints: ## Move the set of versions that rendered projects are constrained to
	@scripts/constraints

bench: ## Measure what a rendered service costs against a bare one
	@scripts/bench $(ARGS)

install-tools: ## Install the programs that tests and benchmarks use (Debian, Ubuntu; as root)
	@scripts/install-tools
