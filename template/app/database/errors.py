"""The answers to clients when the database fails."""

import structlog
from sqlalchemy.exc import DBAPIError, TimeoutError
from starlette.requests import Request
from starlette.responses import Response

from app.core.problems import problem_response
from app.database.backends import ALL
from app.database.backends.base import Condition

logger = structlog.stdlib.get_logger(__name__)


def condition_of(error: DBAPIError) -> Condition | None:
    """Return what an error of the database means, None when it is a bug."""
    if error.connection_invalidated:
        return "unavailable"
    original = error.orig
    if original is None:
        return None
    return next((c for backend in ALL if (c := backend.condition(original))), None)


def is_conflict(error: DBAPIError) -> bool:
    """
    Return whether a change contradicts what is stored: a duplicate, or a reference to what is not
    there.
    """
    return condition_of(error) == "conflict"


async def handle_database_error(request: Request, error: DBAPIError) -> Response:
    """
    Answer an error of the database that no service has dealt with.

    Nothing of the error goes to the client: it holds names of tables. A bug is raised again and
    becomes a 500; a missing table is one too, but needs no traceback to be understood.
    """
    condition = condition_of(error)
    if condition == "conflict":
        logger.info("conflict in the database", reason=_reason(error))
        return problem_response(409, "The change contradicts what is stored.", request.url.path)
    if condition == "unavailable":
        return _unavailable(request, _reason(error))
    if condition == "absent":
        logger.error(
            "a table is missing; if the database is not migrated: run make migrate",
            reason=_reason(error),
        )
        return problem_response(500, "An unexpected error occurred.", request.url.path)
    raise error


async def handle_pool_timeout(request: Request, error: TimeoutError) -> Response:
    """Answer when all connections stayed busy for too long."""
    return _unavailable(request, "all connections are in use")


def _unavailable(request: Request, reason: str) -> Response:
    logger.warning("the database is unavailable", reason=reason)
    return problem_response(
        503, "The database is unavailable.", request.url.path, headers={"Retry-After": "1"}
    )


def _reason(error: DBAPIError) -> str:
    """Name the error in one line, without the statement."""
    return str(error.orig).splitlines()[0] if str(error.orig) else type(error.orig).__name__
