.PHONY: kubernetes-deploy kubernetes-rollback
# What is given to make reaches the recipes as a variable, so no shell reads it as a command.

kubernetes-deploy: ## Bring a version to Kubernetes: make kubernetes-deploy OVERLAY=staging IMAGE=registry/name:1.4.0
	@scripts/kubernetes-deploy "$$OVERLAY" "$$IMAGE"

kubernetes-rollback: ## Go back to the version before: make kubernetes-rollback OVERLAY=staging
	@scripts/kubernetes-rollback "$$OVERLAY" $${REVISION:+"$$REVISION"}
