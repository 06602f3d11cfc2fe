.PHONY: migrate migration

migrate: uv ## Bring the database up to date
	@scripts/migrate

migration: uv ## Write a migration from the models: make migration NAME="add prices"
	@scripts/migration "$(NAME)"
