"""Who is calling: the one place where authentication tells, and the rest asks."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends
from starlette.requests import HTTPConnection
from starlette.types import Scope

_KEY = "app.principal"


@dataclass(frozen=True)
class Principal:
    """An authenticated caller. `id` is stable and harmless in a log: never a token or an e-mail."""

    id: str


def set_principal(scope: Scope, principal: Principal) -> None:
    """Record who is calling; the access line of the request then names them."""
    scope[_KEY] = principal


def get_principal(connection: HTTPConnection) -> Principal | None:
    """Return who is calling, None for an anonymous request."""
    return principal_of(connection.scope)


def principal_of(scope: Scope) -> Principal | None:
    """Return the principal recorded in a scope."""
    principal: Principal | None = scope.get(_KEY)
    return principal


CurrentPrincipal = Annotated[Principal | None, Depends(get_principal)]
