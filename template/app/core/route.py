"""Which route a request matched."""

from starlette.types import Scope


def route_of(scope: Scope) -> str | None:
    """Return the template of the route that matched, with the prefixes of its routers."""
    route = scope.get("route")
    if route is None:
        return None
    context = scope.get("fastapi", {}).get("effective_route_context")
    path: str | None = getattr(context or route, "path", None)
    return path
