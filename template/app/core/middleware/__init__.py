"""
The layers around FastAPI, one module each. From the outside in:

- `probes` answers `/health` and `/ready`, so nothing below sees them.
- `proxy_headers` finds the client's address and scheme.
- `request_context` gives each request its id and its access line.
- `deadline` cancels a request that has not sent its first byte in time.
- `body_limit` refuses bodies that are too large.

Starlette's CORS and trusted-host layers, where they are configured, and those of the features are
in between: see `Service.build_middleware`.
"""
