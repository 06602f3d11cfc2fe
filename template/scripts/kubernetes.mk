.PHONY: kubernetes-deploy kubernetes-rollback

kubernetes-deploy: ## Bring a version to Kubernetes: make kubernetes-deploy OVERLAY=staging IMAGE=registry/name:1.4.0
	@scripts/kubernetes-deploy "$(OVERLAY)" "$(IMAGE)"

kubernetes-rollback: ## Go back to the version before: make kubernetes-rollback OVERLAY=staging
	@scripts/kubernetes-rollback "$(OVERLAY)"
