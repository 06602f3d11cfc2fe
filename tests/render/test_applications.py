"""
The application does not know how it is served: what is decided around it changes none of its files.

The boot tier relies on it. It starts each application once, not once more for each proxy in front of it.
"""

from __future__ import annotations

from tests.support.project import Project
from tests.support.projects import Projects
from tests.support.variants import Variant, application, applications, pairwise, variants

#: What `gunicorn app.main:app` reads.
SERVED = ("app/", "serving/", "migrations/", "gunicorn.conf.py", "alembic.ini")
#: What lies there and is a program of its own.
BESIDE = "serving/healthcheck.py"


def served(project: Project) -> dict[str, str]:
    """
    The files of the application and of its server, with their texts.
    """
    return {name: project.read(name) for name in project.tree() if name.startswith(SERVED) and name != BESIDE}


@variants(pairwise)
def test_what_is_around_an_application_does_not_change_it(projects: Projects, variant: Variant) -> None:
    """
    Target, proxy, Python and CI are free: the served files are those of the variant that is booted in its place.
    """
    (booted,) = [other for other in applications() if application(other) == application(variant)]
    assert served(projects.render(variant)) == served(projects.render(booted))
