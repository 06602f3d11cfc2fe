"""The frame every feature stands on: settings, probes, errors, logs, deadlines."""
