"""Readiness: should this process get traffic?"""

import asyncio
import json
import time
from collections.abc import Mapping
from typing import Annotated, Any

import structlog
from pydantic import Field

from app.core.config import CommaSeparated, ConfigurationError, EnvironmentSettings
from app.core.feature import Check, Feature

logger = structlog.stdlib.get_logger(__name__)


class ReadinessSettings(EnvironmentSettings):
    """Settings of `/ready`."""

    # Unset: what the features themselves require.
    ready_requires: CommaSeparated | None = None
    # Below the time-out of common probes, so that they get an answer that says why.
    ready_check_seconds: Annotated[float, Field(gt=0)] = 2
    # Long enough that probes cannot hammer a dependency, shorter than the period of any of them.
    ready_cache_seconds: Annotated[float, Field(ge=0)] = 1


class Readiness:
    """Runs the checks side by side, each under a deadline, and keeps the result for a moment."""

    def __init__(self, settings: ReadinessSettings, features: list[Feature]) -> None:
        """Raise ConfigurationError when READY_REQUIRES names a check that does not exist."""
        self.settings = settings
        self.checks: dict[str, Check] = {f.name: f.check for f in features if f.check}
        self.required = {f.name for f in features if f.check and f.required}
        if settings.ready_requires is not None:
            self.required = set(settings.ready_requires)
            if unknown := sorted(self.required - self.checks.keys()):
                known = ", ".join(sorted(self.checks)) or "none"
                problem = f"READY_REQUIRES: no such check: {', '.join(unknown)} (known: {known})"
                raise ConfigurationError([problem])
        self.started = False
        self._results: dict[str, str | None] = {}
        self._fresh_until = 0.0
        self._round: asyncio.Task[None] | None = None

    async def report(self, state: Mapping[str, Any]) -> tuple[bool, bytes]:
        """Return whether the process is ready, and the JSON body that says why."""
        if not self.started:
            return False, b'{"status":"starting","checks":{}}'
        if self.checks and time.monotonic() >= self._fresh_until:
            if self._round is None:
                self._round = asyncio.create_task(self._run(state))
                self._round.add_done_callback(self._end_round)
            # All who ask during a round share it; one who hangs up must not end it for the rest.
            await asyncio.shield(self._round)
        ready = all(self._results[name] is None for name in self.required)
        return ready, self._body("ready" if ready else "unready")

    def _body(self, status: str) -> bytes:
        checks: dict[str, dict[str, object]] = {}
        for name, reason in self._results.items():
            checks[name] = {"status": "down" if reason else "up", "required": name in self.required}
            if reason:
                checks[name]["reason"] = reason
        return json.dumps({"status": status, "checks": checks}, separators=(",", ":")).encode()

    def _end_round(self, finished: asyncio.Task[None]) -> None:
        self._round = None

    async def _run(self, state: Mapping[str, Any]) -> None:
        names = list(self.checks)
        reasons = await asyncio.gather(*(self._ask(self.checks[name], state) for name in names))
        for name, reason in zip(names, reasons, strict=True):
            if reason and not self._results.get(name):
                logger.warning("dependency is down", check=name, reason=reason)
            elif not reason and self._results.get(name):
                logger.info("dependency is back", check=name)
            self._results[name] = reason
        self._fresh_until = time.monotonic() + self.settings.ready_cache_seconds

    async def _ask(self, check: Check, state: Mapping[str, Any]) -> str | None:
        try:
            async with asyncio.timeout(self.settings.ready_check_seconds):
                await check(state)
        except TimeoutError:
            return "timeout"
        except ConnectionRefusedError:
            return "refused"
        except Exception as error:
            logger.debug("check failed", error=repr(error))
            return "refused" if _is_refusal(error) else "error"
        return None


def _is_refusal(error: BaseException) -> bool:
    """Tell whether a driver's error was caused by a refused connection."""
    cause = error.__cause__ or error.__context__
    return isinstance(error, ConnectionRefusedError) or (cause is not None and _is_refusal(cause))
