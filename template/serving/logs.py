"""The log of the server processes: the same keys as the application's, one line per event."""

import json
import logging
from datetime import UTC, datetime
from typing import Any

from serving.environment import Environment, choice

LEVELS = ("debug", "info", "warning", "error", "critical")
_TRACEBACK = "Traceback (most recent call last):"


def level(environ: Environment) -> str:
    """Read LOG_LEVEL."""
    return choice(environ, "LOG_LEVEL", "info", LEVELS)


def configuration(environ: Environment) -> dict[str, Any]:
    """
    Build what `logging.config.dictConfig` takes.

    JSON in production and readable text in development, or as LOG_FORMAT says. All of it goes to
    standard error; standard output belongs to the application's access lines.
    """
    production = environ.get("APP_ENV", "").strip() == "production"
    default = "json" if production else "text"
    chosen = choice(environ, "LOG_FORMAT", default, ("json", "text"))
    own: dict[str, Any] = {"handlers": ["stderr"], "propagate": False}
    # Both servers would write access lines, without duration, route or request id. Those of the
    # application have them, so theirs are off: uvicorn's by having no handler to go to.
    none: dict[str, Any] = {"handlers": [], "propagate": False}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "json": {"()": "serving.logs.JsonFormatter"},
            "text": {"()": "serving.logs.TextFormatter"},
        },
        "handlers": {
            "stderr": {
                "class": "logging.StreamHandler",
                "stream": "ext://sys.stderr",
                "formatter": chosen,
            }
        },
        "root": {"level": level(environ).upper(), "handlers": ["stderr"]},
        "loggers": {
            "gunicorn.error": own,
            "uvicorn.error": own,
            "gunicorn.access": none,
            "uvicorn.access": none,
        },
    }


class TextFormatter(logging.Formatter):
    """A record as the application's own development lines look."""

    def __init__(self) -> None:
        """Nothing to choose."""
        super().__init__("%(asctime)s [%(level)-9s] %(message)s [%(name)s]")

    def format(self, record: logging.LogRecord) -> str:
        """Render a record, the level in small letters."""
        record.level = record.levelname.lower()
        return super().format(record)

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        """Render the time as RFC 3339, in UTC."""
        return _timestamp(record)


class JsonFormatter(logging.Formatter):
    """A record as one JSON object on one line."""

    def format(self, record: logging.LogRecord) -> str:
        """Render a record; a traceback becomes the member `exception`."""
        event, exception = record.getMessage(), None
        if record.exc_info:
            exception = self.formatException(record.exc_info)
        elif record.exc_text:
            exception = record.exc_text
        elif _TRACEBACK in event:
            # A failed lifespan arrives as a message that *is* the traceback.
            exception = event.strip()
            event = exception.splitlines()[-1]
        line = {
            "timestamp": _timestamp(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": event,
            "pid": record.process,
        }
        if exception is not None:
            line["exception"] = exception
        return json.dumps(line, ensure_ascii=False, default=str, separators=(",", ":"))


def _timestamp(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
