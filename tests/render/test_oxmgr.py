"""
The oxfile: valid in the published format. No binary of Oxmgr runs here, and the rendered README says so.
"""

from __future__ import annotations

import copy
import json
import tomllib
from typing import Any

import jsonschema
import pytest

from tests.support import questions
from tests.support.projects import Projects
from tests.support.variants import of

SCHEMA = json.loads((questions.ROOT / "tests" / "data" / "oxfile.schema.json").read_text())


@pytest.fixture
def oxfile(projects: Projects) -> dict[str, Any]:
    """
    The rendered file, parsed.
    """
    return tomllib.loads(projects.render(of(supervisor="oxmgr")).read("deploy/oxmgr/oxfile.toml"))


def test_it_is_valid(oxfile: dict[str, Any]) -> None:
    """
    It is what the schema of the format describes.
    """
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    jsonschema.validate(oxfile, SCHEMA, jsonschema.Draft7Validator)


@pytest.mark.parametrize(
    "change",
    [{"stop_timeout": 51}, {"stop_timeout_secs": "51"}, {"restart_policy": "sometimes"}, {"command": ""}],
    ids=str,
)
def test_the_schema_would_notice(oxfile: dict[str, Any], change: dict[str, Any]) -> None:
    """
    A name or a type that the format does not know is refused.
    """
    changed = copy.deepcopy(oxfile)
    changed["apps"][0] |= change
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(changed, SCHEMA, jsonschema.Draft7Validator)


def test_it_serves_as_production_does(projects: Projects, oxfile: dict[str, Any]) -> None:
    """
    The production command in production mode, stopped by the signal that drains, kept alive by /health and for ever.
    """
    (app,) = oxfile["apps"]
    assert app["command"].endswith("/.venv/bin/gunicorn app.main:app")
    assert app["env"]["APP_ENV"] == "production"
    assert app["stop_signal"] == "SIGTERM"
    assert app["health_cmd"].endswith(f"http://{app['env']['BIND']}/health")
    assert app["crash_restart_limit"] == 0
    # Slower than gunicorn, which knows more: HEARTBEAT_SECONDS is 30.
    assert app["health_interval_secs"] * app["health_max_failures"] > 30
    assert not {"watch", "reuse_port", "pre_reload_cmd", "git_repo"} & set(app)


def test_the_readme_says_what_was_checked(projects: Projects) -> None:
    """
    Nobody takes it for tested.
    """
    text = " ".join(projects.render(of(supervisor="oxmgr")).read("deploy/oxmgr/README.md").split())
    assert "It was never run by Oxmgr itself." in text
