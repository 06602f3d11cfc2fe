"""Log lines: JSON in production, readable in development; one set of keys."""

import logging
import sys
from typing import Annotated, Any, Literal

import structlog
from pydantic import BeforeValidator
from structlog.typing import EventDict, Processor, WrappedLogger

from app.core.config import EnvironmentSettings
from app.core.context import current_request_id

# Whatever runs the service logs through these. Their lines get our format; their access lines are
# replaced by ours, which knows the route, the duration and the request id.
_SERVER_LOGGERS = ("uvicorn", "uvicorn.error", "gunicorn.error", "_granian", "hypercorn.error")
_SERVER_ACCESS_LOGGERS = ("uvicorn.access", "gunicorn.access", "granian.access", "hypercorn.access")


Level = Literal["debug", "info", "warning", "error", "critical"]


def lower(value: Any) -> Any:
    """Accept `INFO` for `info`, as the server does."""
    return value.lower() if isinstance(value, str) else value


class LogSettings(EnvironmentSettings):
    """Settings of the log."""

    log_level: Annotated[Level, BeforeValidator(lower)] = "info"
    log_format: Annotated[Literal["json", "text"] | None, BeforeValidator(lower)] = None

    @property
    def as_json(self) -> bool:
        """Tell whether lines are JSON: by default in production."""
        return self.is_production if self.log_format is None else self.log_format == "json"

    @property
    def level_number(self) -> int:
        """The level as `logging` counts it."""
        return logging.getLevelNamesMapping()[self.log_level.upper()]


def configure_logging(settings: LogSettings) -> None:
    """Send every logger of this process to standard error, in one format."""
    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        _drop_colors,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _shorten_timestamp,
        _add_request_id,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    last: list[Processor] = (
        [
            structlog.processors.format_exc_info,
            _put_in_order,
            structlog.processors.JSONRenderer(separators=(",", ":")),
        ]
        if settings.as_json
        else [
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(),
                # The richer one prints every local variable, secrets included, and takes seconds.
                exception_formatter=structlog.dev.plain_traceback,
            )
        ]
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.level_number)
    for name in _SERVER_LOGGERS:
        server = logging.getLogger(name)
        server.handlers[:] = []
        server.propagate = True
    for name in _SERVER_ACCESS_LOGGERS:
        logging.getLogger(name).disabled = True


def _put_in_order(logger: WrappedLogger, name: str, event: EventDict) -> EventDict:
    """Begin with the keys that every line has, as the access line and the server's lines do."""
    first = {key: event.pop(key) for key in ("timestamp", "level", "logger", "event")}
    return {**first, **event}


def _drop_colors(logger: WrappedLogger, name: str, event: EventDict) -> EventDict:
    """Drop uvicorn's second version of each message, the one with terminal colours."""
    event.pop("color_message", None)
    return event


def _shorten_timestamp(logger: WrappedLogger, name: str, event: EventDict) -> EventDict:
    """Cut microseconds to milliseconds, as the access line has them."""
    event["timestamp"] = event["timestamp"][:23] + "Z"
    return event


def _add_request_id(logger: WrappedLogger, name: str, event: EventDict) -> EventDict:
    request_id = current_request_id.get()
    if request_id is not None:
        event.setdefault("request_id", request_id)
    return event
