"""The base of every feature: settings, errors, logs, readiness, middleware."""
