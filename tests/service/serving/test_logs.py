"""The log of the server processes."""

import json
import logging
import re
import sys

from serving.logs import JsonFormatter, configuration


def line(message: str, *arguments: object, failing: bool = False) -> dict[str, str]:
    """Return one formatted record."""
    found = None
    if failing:
        try:
            raise ValueError("one\ntwo")
        except ValueError:
            found = sys.exc_info()
    record = logging.LogRecord("gunicorn.error", logging.ERROR, "", 1, message, arguments, found)
    text = JsonFormatter().format(record)
    assert "\n" not in text
    parsed: dict[str, str] = json.loads(text)
    return parsed


def test_keys_are_those_of_the_contract() -> None:
    """A line has the keys that the application's lines have."""
    parsed = line("worker %s “ended”", 7)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", parsed["timestamp"])
    assert (parsed["level"], parsed["logger"]) == ("error", "gunicorn.error")
    assert parsed["event"] == "worker 7 “ended”"
    assert "exception" not in parsed


def test_a_traceback_is_one_member() -> None:
    """Many lines of traceback are still one line of log."""
    parsed = line("failed", failing=True)
    assert parsed["event"] == "failed"
    assert parsed["exception"].startswith("Traceback")


def test_a_message_that_is_a_traceback_is_recognised() -> None:
    """A lifespan that fails arrives like that."""
    parsed = line("Traceback (most recent call last):\n  File …\nValueError: no")
    assert parsed["event"] == "ValueError: no"
    assert parsed["exception"].startswith("Traceback")


def test_format_follows_the_environment() -> None:
    """JSON in production, text otherwise; LOG_FORMAT overrides either."""

    def chosen(**environ: str) -> str:
        return str(configuration(environ)["handlers"]["stderr"]["formatter"])

    assert chosen() == "text"
    assert chosen(APP_ENV="production") == "json"
    assert chosen(APP_ENV="production", LOG_FORMAT="text") == "text"
    assert chosen(LOG_FORMAT="json") == "json"
