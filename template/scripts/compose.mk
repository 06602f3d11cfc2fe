.PHONY: up down rollout compose-dev

# What the proxy reads: its container has users of its own, without the right to read everything.
proxies = $(patsubst deploy/compose/%/start,%,$(wildcard deploy/compose/*/start))
mounted = $(addprefix deploy/,$(proxies)) $(addprefix deploy/compose/,$(proxies))
closed = $(if $(proxies),$(shell find $(mounted) ! -perm -o=r -print))

up: ## Start it with what it needs, in containers: compose.yaml
	@test -z "$(closed)" || { echo "Its container cannot read $(firstword $(closed)). To mend it: chmod -R go+rX $(mounted)" >&2; exit 1; }
	@$(or $(wildcard deploy/compose/make-secrets),true)
	@docker image inspect $$(docker compose config --images app | grep ':current$$' | head -n 1) >/dev/null 2>&1 || scripts/image
	@docker compose up --detach --wait

down: ## Stop the containers; the data stays
	@docker compose down

# IMAGE reaches the recipe as a variable, so no shell reads it as a command.
rollout: ## Replace the containers, losing nothing: make rollout IMAGE=registry/service:1.4
	@deploy/compose/rollout $${IMAGE:+"$$IMAGE"}

compose-dev: ## Run it in containers for development; what you save takes effect
	@deploy/compose/develop
