"""`.env.example` lists what the server reads."""

import re

from tests.service.serving.running import ROOT

# Read by the application as well, and listed among its variables; and one that has no effect.
ELSEWHERE = {"APP_ENV", "LOG_LEVEL", "LOG_FORMAT", "REQUEST_SECONDS", "ROOT_PATH", "PORT"}


def test_env_example_lists_what_the_server_reads() -> None:
    """A variable that is read is documented; one that is documented is read."""
    sources = [ROOT / "gunicorn.conf.py", *(ROOT / "serving").glob("*.py")]
    code = "\n".join(path.read_text() for path in sources)
    read = set(re.findall(r'\b(?:text|whole|seconds|choice)\((?:os\.)?environ, "(\w+)"', code))
    server = (ROOT / ".env.example").read_text().split("# Server")[1]
    documented = set(re.findall(r"^#? ?([A-Z][A-Z0-9_]*)=", server, re.MULTILINE))
    assert documented == read - ELSEWHERE
