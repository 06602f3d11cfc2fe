.PHONY: image smoke-image scan-image
# IMAGE reaches the recipes as a variable, so no shell reads it as a command.

image: ## Build the image: make image ARGS=--pull
	@scripts/image $(ARGS)

smoke-image: ## Run the image as production does, check its answers, stop it
	@scripts/smoke-image $${IMAGE:+"$$IMAGE"}

scan-image: ## Look through the image for serious vulnerabilities that have a fix
	@scripts/scan-image $${IMAGE:+"$$IMAGE"}
