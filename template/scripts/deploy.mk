.PHONY: setup secret deploy rollback restart status doctor maintenance uninstall

# HOST="root@203.0.113.7 root@203.0.113.8": over ssh, one after another. Left out: this machine.
# A HOST that the shell exports is its own name for this machine, so it does not count.
ifeq ($(origin HOST),environment)
HOST =
endif
# RELEASE_SSH="ssh -F deploy/ssh_config" in the environment replaces the command `ssh`.
release = python3 deploy/release $(foreach host,$(HOST),--host $(host))

setup: ## Make a machine the host: make setup HOST=root@203.0.113.7 DOMAIN=api.your-company.com
	@$(release) setup $(if $(DOMAIN),--domain $(DOMAIN)) $(if $(EMAIL),--email $(EMAIL)) $(ARGS)

secret: ## Set a secret, read from standard input: make secret NAME=API_TOKEN HOST=…
	@test -n "$(NAME)" || { echo "Say which one: make secret NAME=API_TOKEN" >&2; exit 2; }
	@$(release) secret set $(NAME) $(ARGS)

deploy: ## Deploy what is committed: make deploy HOST=…
	@$(release) deploy $(ARGS)

rollback: ## Go back to the release before
	@$(release) rollback $(ARGS)

restart: ## Start a new run, with the environment and secrets as they are now
	@$(release) restart $(ARGS)

status: ## Say what runs
	@$(release) status $(ARGS)

doctor: ## Check the host: Python, time, disk, certificate, addresses, limits
	@$(release) doctor $(ARGS)

maintenance: ## Have 503 answered in its place: make maintenance ARGS=on
	@test -n "$(ARGS)" || { echo "Say which: make maintenance ARGS=on, or ARGS=off" >&2; exit 2; }
	@$(release) maintenance $(ARGS)

uninstall: ## Take the service off the host
	@$(release) uninstall $(ARGS)
