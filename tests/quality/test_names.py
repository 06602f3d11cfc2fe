"""
A name that is accepted gives a service that boots, and shows it as it was typed.
"""

from __future__ import annotations

import pytest

from tests.support.projects import Projects
from tests.support.variants import Variant

NAMES = [
    'Bob\'s "Größe" 🚀 店 \\n {{ 1 + 1 }} # {% if x %} %s %i ${HOME} `id` \'\'\'""" <b>',
    "yes",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_service_of_that_name_boots(projects: Projects, name: str) -> None:
    """
    The API's title and description are the texts of the answers.
    """
    answers = {"project_name": name, "project_slug": "my-service", "description": f"{name} {name}", "database": "none"}
    project = projects.render(Variant("awkward", answers)).sync()
    with project.serve(workers=1) as service:
        info = service.get("/openapi.json").json()["info"]
        assert (info["title"], info["description"]) == (name, f"{name} {name}")
        assert service.get("/docs").status_code == 200
