"""
`make compose-dev`: the service in containers, while it is written.
"""

from __future__ import annotations

import contextlib
import subprocess
from pathlib import Path

import httpx2

from tests.support import failure
from tests.support.containers.engine import Engine
from tests.support.processes import kill_group, wait_until
from tests.support.projects import Projects
from tests.support.variants import of

ADDRESS = "http://127.0.0.1:8000"
VARIANT = of(project_name="Being written", targets=["container"])
EDIT = """

@app.get("/api/v1/edited")
async def edited() -> str:
    return "edited"
"""


def test_what_is_saved_is_served(engine: Engine, projects: Projects, workplace: Path) -> None:
    """
    Without a build, by the same container; and when it is taken down with its data nothing is left.
    """
    project = projects.render(VARIANT).sync().copy(workplace)
    engine.furnish_compose()
    engine.provide("python:3.13-slim", "postgres:17.11")
    develop = ["sh", "deploy/compose/develop"]
    written = project.path.with_name("develop.log")

    def containers() -> list[str]:
        own = ("--filter=label=com.docker.compose.project=being-written-dev", "--quiet")
        return engine.docker("ps", "--all", *own).stdout.split()

    def is_edited() -> bool:
        # It does not listen while it starts anew.
        with contextlib.suppress(httpx2.TransportError):
            return httpx2.get(f"{ADDRESS}/api/v1/edited").status_code == 200
        return False

    try:
        with (
            written.open("wb") as log,
            subprocess.Popen(
                develop, cwd=project.path, env=engine.environment, stdout=log, stderr=log, start_new_session=True
            ) as process,
        ):
            try:
                wait_until(lambda: "Watch enabled" in written.read_text(), seconds=120, what="it watches")
                before, main = containers(), project / "app/main.py"
                assert httpx2.get(f"{ADDRESS}/ready").json()["checks"]["database"]["status"] == "up"
                assert not is_edited()
                main.write_text(main.read_text() + EDIT)
                wait_until(is_edited, seconds=30, what="the edit is served")
                assert containers() == before
            except BaseException as error:
                error.add_note(failure.frame(written.read_text(), title="deploy/compose/develop"))
                raise
            finally:
                kill_group(process.pid)
    finally:
        engine.run(*develop, "down", "--volumes", folder=project.path)
    assert not containers()
