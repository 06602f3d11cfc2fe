"""The service. It knows nothing of the server that runs it; see `serving/` for that."""

VERSION = "0.1.0"
