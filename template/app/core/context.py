"""The context of a request: its id, the route that it matched, and the caller."""

import random
import re
from collections.abc import Iterable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends
from starlette.requests import HTTPConnection
from starlette.types import Scope

REQUEST_ID_HEADER = b"x-request-id"

# Long enough for any tracing system, too plain to forge a log line or a header with.
_WELL_FORMED = re.compile(rb"[A-Za-z0-9._-]{8,128}", re.ASCII)
_PRINCIPAL = "app.principal"

current_request_id: ContextVar[str | None] = ContextVar("current_request_id", default=None)


def choose_request_id(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """Return the client's id when it is well-formed, else 32 random hexadecimal digits."""
    for name, value in headers:
        if name == REQUEST_ID_HEADER:
            if _WELL_FORMED.fullmatch(value):
                return value.decode("ascii")
            break
    # Unique, not secret: a third of the cost of asking the kernel, and reseeded after a fork.
    return f"{random.getrandbits(128):032x}"


def route_of(scope: Scope) -> str | None:
    """Return the template of the route that matched, with the prefixes of its routers."""
    route = scope.get("route")
    if route is None:
        return None
    context = scope.get("fastapi", {}).get("effective_route_context")
    path: str | None = getattr(context or route, "path", None)
    return path


@dataclass(frozen=True)
class Principal:
    """An authenticated caller. `id` is stable and harmless in a log: never a token or an e-mail."""

    id: str


def set_principal(scope: Scope, principal: Principal) -> None:
    """Record who is calling; the access line of the request then names them."""
    scope[_PRINCIPAL] = principal


def get_principal(connection: HTTPConnection) -> Principal | None:
    """Return who is calling, None for an anonymous request."""
    return principal_of(connection.scope)


def principal_of(scope: Scope) -> Principal | None:
    """Return the principal recorded in a scope."""
    principal: Principal | None = scope.get(_PRINCIPAL)
    return principal


CurrentPrincipal = Annotated[Principal | None, Depends(get_principal)]
