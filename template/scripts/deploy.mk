.PHONY: setup secret deploy rollback restart status

# HOST="root@203.0.113.7 root@203.0.113.8": over ssh, one after another. Left out: this machine.
# What the shell exports under these names has another meaning, so it does not count.
ifeq ($(origin HOST),environment)
HOST =
endif
ifeq ($(origin EMAIL),environment)
EMAIL =
endif
# RELEASE_SSH="ssh -F config" in the environment replaces the command `ssh`.
remote = deploy/remote "$${HOST:-here}"

setup: ## Make a machine the host: make setup HOST=root@203.0.113.7
	@$(remote) setup "$$DOMAIN" "$$EMAIL" $(ARGS)

secret: ## Set a secret, read from standard input: make secret NAME=API_TOKEN HOST=…
	@test -n "$$NAME" || { echo "Say which one: make secret NAME=API_TOKEN" >&2; exit 2; }
	@$(remote) secret "$$NAME" $(ARGS)

deploy: ## Deploy what is committed: make deploy HOST=…
	@$(remote) deploy $(ARGS)

rollback: ## Go back to the release before, or to ARGS=NAME
	@$(remote) rollback $(ARGS)

restart: ## Start a new run, with the environment and secrets as they are now
	@$(remote) restart $(ARGS)

status: ## Say what runs
	@$(remote) status $(ARGS)
