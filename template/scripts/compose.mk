.PHONY: up down rollout compose-dev

up: ## Start it with what it needs, in containers: compose.yaml
	@$(or $(wildcard deploy/compose/prepare),true)
	@docker image inspect $$(docker compose config --images app | head -n 1) >/dev/null 2>&1 || scripts/image
	@docker compose up --detach --wait

down: ## Stop the containers; the data stays
	@docker compose down

# Not exported: compose has no business with it.
unexport IMAGE
rollout: ## Replace the containers, losing nothing: make rollout IMAGE=registry/service:1.4
	@deploy/compose/rollout $(IMAGE)

compose-dev: ## Run it in containers for development; what you save takes effect
	@deploy/compose/develop
