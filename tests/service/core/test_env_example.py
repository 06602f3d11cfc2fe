"""`.env.example` and the settings classes name the same variables."""

import re
from dataclasses import fields
from pathlib import Path
from typing import get_type_hints

from app.core.config import EnvironmentSettings
from app.settings import Settings

ROOT = Path(__file__).parents[3]
# Read by gunicorn.conf.py, not by the application.
SERVER = "# Server"


def test_env_example_lists_every_variable_and_no_other() -> None:
    """A variable that is read is documented; one that is documented is read."""
    application = (ROOT / ".env.example").read_text().split(SERVER)[0]
    documented = re.findall(r"^#? ?([A-Z][A-Z0-9_]*)=", application, re.MULTILINE)
    kinds = get_type_hints(Settings)
    read: set[str] = set()
    for field in fields(Settings):
        kind = kinds[field.name]
        assert issubclass(kind, EnvironmentSettings)
        read.update(kind.variables())
    assert sorted(documented) == sorted(read)
