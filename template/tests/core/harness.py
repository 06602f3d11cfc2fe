"""Builds services of a few test routes."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from fastapi import APIRouter
from fastapi.testclient import TestClient
from starlette.types import ASGIApp

from app.core.feature import Check, Feature
from app.core.http_settings import HttpSettings
from app.core.logs import LogSettings
from app.core.readiness import ReadinessSettings
from app.core.service import Service
from app.settings import Settings


def build(
    *features: Feature,
    routes: Callable[[APIRouter], object] | None = None,
    http: HttpSettings | None = None,
    readiness: ReadinessSettings | None = None,
    logs: LogSettings | None = None,
) -> Service:
    """Return a service made of these features, and of one that holds `routes`."""
    router = APIRouter()
    if routes:
        routes(router)
    settings = replace(
        Settings(),
        http=http or HttpSettings(),
        readiness=readiness or ReadinessSettings(),
        logs=logs or LogSettings(),
    )
    return Service(settings, [*features, Feature("test", router)])


def client_of(service: ASGIApp, **options: Any) -> TestClient:
    """Return a client that gets 500s as responses. Use it as a context manager."""
    return TestClient(service, raise_server_exceptions=False, **options)


def dependency(name: str, check: Check, *, required: bool = True) -> Feature:
    """Return a feature that is nothing but a check."""
    return Feature(name, check=check, required=required)


async def works(state: Mapping[str, Any]) -> None:
    """Pass, as the check of a dependency that is up."""
