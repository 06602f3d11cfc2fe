"""The application class: FastAPI with the middleware that every service needs."""

import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Protocol

from anyio.to_thread import current_default_thread_limiter
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import VERSION
from app.core.access_log import AccessLog
from app.core.context import REQUEST_ID_HEADER
from app.core.feature import Feature
from app.core.http_settings import HttpSettings
from app.core.logs import LogSettings, configure_logging
from app.core.middleware.body_limit import BodyLimitMiddleware
from app.core.middleware.deadline import DeadlineMiddleware
from app.core.middleware.probes import ProbesMiddleware
from app.core.middleware.proxy_headers import ProxyHeadersMiddleware
from app.core.middleware.request_context import RequestContextMiddleware
from app.core.problems import (
    PROBLEM_SCHEMAS,
    Problem,
    handle_http_exception,
    handle_problem,
    handle_unexpected,
    handle_validation_error,
    problem_responses,
)
from app.core.readiness import Readiness, ReadinessSettings


class Description(Protocol):
    """The name of the service, and one line about it."""

    @property
    def name(self) -> str:
        """The title of the API."""

    @property
    def description(self) -> str:
        """One line about the service."""


class CoreSettings(Protocol):
    """The settings of every service; `app.settings.Settings` adds those of its features."""

    @property
    def service(self) -> Description:
        """The name of the service."""

    @property
    def http(self) -> HttpSettings:
        """Settings of HTTP."""

    @property
    def readiness(self) -> ReadinessSettings:
        """Settings of `/ready`."""

    @property
    def logs(self) -> LogSettings:
        """Settings of the log."""


class Service(FastAPI):
    """A FastAPI application with its features installed and its middleware around it."""

    def __init__(self, settings: CoreSettings, features: Sequence[Feature]) -> None:
        """Features start in their order and stop in reverse."""
        docs = settings.http.show_docs
        super().__init__(
            title=settings.service.name,
            description=settings.service.description,
            version=VERSION,
            openapi_url="/openapi.json" if docs else None,
            lifespan=self.lifespan,
            # A redirect would name whatever host the request claimed.
            redirect_slashes=False,
            # Idle, the built-in telemetry still costs a tenth to a third of every request.
            telemetry={"tracing": False, "metrics": False, "logs": False, "operation_spans": False},
            responses=problem_responses(
                400, 413, 422, 504, *(status for feature in features for status in feature.statuses)
            ),
            exception_handlers={
                Problem: handle_problem,
                HTTPException: handle_http_exception,
                RequestValidationError: handle_validation_error,
                Exception: handle_unexpected,
            },
        )
        self.settings = settings
        self.readiness = Readiness(settings.readiness, list(features))
        for feature in features:
            self.include_router(feature.router)
            for kind, handler in feature.exception_handlers.items():
                self.add_exception_handler(kind, handler)
        self.outermost = self.build_middleware(super().__call__, features)

    def build_middleware(self, app: ASGIApp, features: Sequence[Feature]) -> ASGIApp:
        """
        Wrap the framework, innermost first.

        Pure ASGI throughout: BaseHTTPMiddleware costs one and a half requests per layer.
        """
        http = self.settings.http
        app = BodyLimitMiddleware(app, http.body_limit_bytes)
        for feature in reversed(features):
            if feature.middleware:
                app = feature.middleware(app)
        app = DeadlineMiddleware(app, http.request_seconds)
        if http.allowed_hosts != ("*",):
            app = TrustedHostMiddleware(app, allowed_hosts=http.allowed_hosts)
        if http.cors_origins:
            app = CORSMiddleware(
                app,
                allow_origins=http.cors_origins,
                allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
                allow_headers=["Authorization", "Content-Type", REQUEST_ID_HEADER.decode()],
                expose_headers=[REQUEST_ID_HEADER.decode()],
            )
        app = RequestContextMiddleware(app, AccessLog(self.settings.logs))
        app = ProxyHeadersMiddleware(app, http.trusted_proxies)
        return ProbesMiddleware(app, self.readiness, http.root_path)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == "lifespan":
            send = partial(_explain, send)
        elif self.settings.http.root_path:
            scope["root_path"] = self.settings.http.root_path
        await self.outermost(scope, receive, send)

    def openapi(self) -> dict[str, Any]:
        """Describe the API, with the bodies of problems."""
        description = super().openapi()
        description.setdefault("components", {}).setdefault("schemas", {}).update(PROBLEM_SCHEMAS)
        return description

    @asynccontextmanager
    async def lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        """Set up logs and threads before the lifespans of the features; be ready after them."""
        configure_logging(self.settings.logs)
        current_default_thread_limiter().total_tokens = self.settings.http.threads
        self.readiness.started = True
        try:
            yield
        finally:
            self.readiness.started = False


async def _explain(send: Send, message: Message) -> None:
    """Put the words of an error that has some for the operator in place of its traceback."""
    if message["type"] == "lifespan.startup.failed":
        words = getattr(sys.exc_info()[1], "operator_message", None)
        if words:
            message = {**message, "message": words}
    await send(message)
