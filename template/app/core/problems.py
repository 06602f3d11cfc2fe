"""Errors as `application/problem+json` (RFC 9457): one shape for all of them."""

import json
import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from app.core.context import current_request_id, route_of

MEDIA_TYPE = "application/problem+json"
_TYPE_PREFIX = "urn:problem-type:"

# Shorter or plainer than the reason phrase of the status.
_TYPES = {
    413: "content-too-large",
    422: "validation",
    500: "internal-error",
    503: "unavailable",
    504: "deadline-exceeded",
}
# What the framework says of these is the reason phrase once more.
_DETAILS = {
    404: "There is nothing at this path.",
    405: "The path does not support this method.",
    413: "The body is larger than this service accepts.",
}
# RFC 9110 renamed these two; Python learned the new names in 3.13.
_TITLES = {413: "Content Too Large", 422: "Unprocessable Content"}


class ValidationDetail(BaseModel):
    """One thing that does not match the schema."""

    pointer: str
    detail: str
    type: str


class ProblemBody(BaseModel):
    """The members of every error body, for the API's own documentation."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    request_id: str


class ValidationProblemBody(ProblemBody):
    """The body of a 422."""

    errors: list[ValidationDetail]


PROBLEM_SCHEMAS = {
    ProblemBody.__name__: ProblemBody.model_json_schema(),
    ValidationDetail.__name__: ValidationDetail.model_json_schema(),
    ValidationProblemBody.__name__: ValidationProblemBody.model_json_schema(
        ref_template="#/components/schemas/{model}"
    ),
}
PROBLEM_SCHEMAS[ValidationProblemBody.__name__].pop("$defs", None)


class Problem(Exception):
    """An error that the client is told about: raise it, or a subclass, below an endpoint."""

    status = 500

    def __init__(
        self,
        detail: str,
        *,
        status: int | None = None,
        type: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """`type` is the last part of the problem type, by default the one of the status."""
        super().__init__(detail)
        self.detail = detail
        self.status = status or self.status
        self.type = type
        self.headers = headers


class BadRequest(Problem):
    """The request is malformed in a way no schema expresses."""

    status = 400


class NotFound(Problem):
    """The resource does not exist, or not for this caller."""

    status = 404


class Conflict(Problem):
    """The change contradicts the present state."""

    status = 409


class Unavailable(Problem):
    """A dependency is down or saturated; trying again later may help."""

    status = 503

    def __init__(self, detail: str, *, retry_after: int = 1) -> None:
        """`retry_after` is in seconds."""
        super().__init__(detail, headers={"Retry-After": str(retry_after)})


def problem_response(
    status: int,
    detail: str,
    instance: str,
    *,
    type: str | None = None,
    headers: Mapping[str, str] | None = None,
    errors: Sequence[Mapping[str, str]] | None = None,
) -> Response:
    """Build the response for an error of the request that is being served."""
    title = _title(status)
    body: dict[str, Any] = {
        "type": _TYPE_PREFIX + (type or _TYPES.get(status) or _kebab(title)),
        "title": title,
        "status": status,
        "detail": detail,
        "instance": instance,
        "request_id": current_request_id.get() or "",
    }
    if errors is not None:
        body["errors"] = errors
    content = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return Response(content, status, dict(headers or {}), media_type=MEDIA_TYPE)


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Document error statuses: the `responses=` argument of a route or router."""
    return {
        status: {
            "description": _title(status),
            "content": {
                MEDIA_TYPE: {
                    "schema": {
                        "$ref": "#/components/schemas/"
                        + (ValidationProblemBody if status == 422 else ProblemBody).__name__
                    }
                }
            },
        }
        for status in statuses
    }


async def handle_problem(request: Request, error: Problem) -> Response:
    """Answer a problem that the application raised."""
    return problem_response(
        error.status, error.detail, request.url.path, type=error.type, headers=error.headers
    )


async def handle_http_exception(request: Request, error: HTTPException) -> Response:
    """Answer what the framework raised: 404, 405, 413 and the like."""
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = _allowed_methods(request) or headers.get("Allow", "")
    detail = str(error.detail)
    if detail == _title(error.status_code):
        detail = _DETAILS.get(error.status_code, detail)
    return problem_response(error.status_code, detail, request.url.path, headers=headers)


async def handle_validation_error(request: Request, error: RequestValidationError) -> Response:
    """Answer a request that does not match the schema, without echoing what it sent."""
    details = error.errors()
    if any(detail["type"] == "json_invalid" for detail in details):
        return problem_response(400, "The body is not valid JSON.", request.url.path)
    return problem_response(
        422,
        "The request does not match the schema.",
        request.url.path,
        errors=[
            {
                "pointer": "".join(f"/{_escape(token)}" for token in detail["loc"]),
                "detail": detail["msg"],
                "type": detail["type"],
            }
            for detail in details
        ],
    )


async def handle_unexpected(request: Request, error: Exception) -> Response:
    """Answer a bug. The request context middleware logs the traceback with the same request id."""
    return problem_response(500, "An unexpected error occurred.", request.url.path)


def _allowed_methods(request: Request) -> str:
    """
    Name all methods of the path, as RFC 9110 (section 15.5.6) wants.

    The framework names those of the first route that matches the path only.
    """
    described = request.app.openapi()["paths"].get(route_of(request.scope), {})
    return ", ".join(sorted(method.upper() for method in described))


def _title(status: int) -> str:
    try:
        return _TITLES.get(status) or HTTPStatus(status).phrase
    except ValueError:
        return "Error"


def _kebab(title: str) -> str:
    return re.sub(r"[^a-z]+", "-", title.lower()).strip("-")


def _escape(token: object) -> str:
    return str(token).replace("~", "~0").replace("/", "~1")
