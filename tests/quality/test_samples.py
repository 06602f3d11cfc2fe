"""
The samples of the rendered documents, put where they say: what they show how to add works, and is clean.
"""

from __future__ import annotations

import re
from pathlib import Path

from tests.support.project import Project
from tests.support.projects import Projects
from tests.support.releases import edit
from tests.support.variants import named

DOCUMENTS = ("AGENTS.md", "docs/develop.md")
ROW = re.compile(r"^\| `([\w./]+)`(?:, in `\w+`)? \| `(.+)` \|$", re.M)

#: The other service, as the client of the sample meets it.
ASKED = '''"""The client of the rates asks a server."""

from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest
from fastapi.testclient import TestClient

from app.main import create_app
from app.rates.settings import RatesSettings
from app.settings import Settings


class Handler(BaseHTTPRequestHandler):
    """Answer with the rates."""

    def do_GET(self) -> None:
        """Send them as JSON; elsewhere something else, or nothing."""
        self.send_response(404 if self.path.startswith("/missing") else 200)
        self.end_headers()
        self.wfile.write(b'{"CHF": 0.93}' if self.path == "/latest" else b'{"CHF": "none"}')


@pytest.fixture
def server() -> Iterator[HTTPServer]:
    """Serve until the end of the test."""
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_the_rates_are_fetched(settings: Settings, server: HTTPServer) -> None:
    """They come from the other service while it answers, and are a 503 when it does not."""
    url = f"http://127.0.0.1:{server.server_port}"
    with TestClient(create_app(replace(settings, rates=RatesSettings(rates_url=url)))) as client:
        answer = client.get("/api/v1/rates")
        assert (answer.status_code, answer.json()) == (200, {"CHF": 0.93})
    for place in ("missing", "other"):
        elsewhere = RatesSettings(rates_url=f"{url}/{place}")
        with TestClient(create_app(replace(settings, rates=elsewhere))) as client:
            answer = client.get("/api/v1/rates")
            assert (answer.status_code, answer.json()["title"]) == (503, "Service Unavailable")
'''

MODEL = '''"""Prices, as they are stored."""

from sqlalchemy.orm import Mapped, mapped_column

from app.database.models import Base, RowId


class Price(Base):
    """One price."""

    __tablename__ = "prices"

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    cents: Mapped[int]
'''
#: The sample is a function; this is the module around it.
STREAM = '''"""Prices as a stream."""

from collections.abc import AsyncIterator

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse
from sqlalchemy import select

from app.core.feature import Feature
from app.prices.models import Price

router = APIRouter(prefix="/api/v1/prices")


def prices() -> Feature:
    """Offer prices."""
    return Feature("prices", router)


'''
STREAMED = '''"""Prices are streamed."""

from fastapi.testclient import TestClient

from tests.fixtures.database import run_sql


def test_export(client: TestClient, database_url: str) -> None:
    """Every row is a line."""
    run_sql(database_url, "INSERT INTO prices (cents) VALUES (5), (7)")
    assert client.get("/api/v1/prices/export").text.splitlines() == ["5", "7"]
'''


def samples(project: Project) -> tuple[dict[str, str], str]:
    """
    The modules that the documents show, by path; and the function of the stream, which is not a whole module.
    """
    text = "\n".join(project.read(name) for name in DOCUMENTS)
    blocks = re.findall(r"^```python\n(.*?)^```$", text, re.M | re.S)
    modules = {block[2:].partition("\n")[0]: block.partition("\n")[2] for block in blocks if block.startswith("# ")}
    (rest,) = [block for block in blocks if not block.startswith("# ")]
    return modules, rest


def write(project: Project, path: str, text: str) -> None:
    (project / path).parent.mkdir(exist_ok=True)
    (project / path).parent.joinpath("__init__.py").touch()
    (project / path).write_text(text)


def test_samples_work(projects: Projects, workplace: Path) -> None:
    """
    The feature with a client, its settings and its test, a migration, and a stream: linted, typed and run.
    """
    project = projects.render(named("default")).sync().copy(workplace)
    modules, stream = samples(project)
    assert list(modules) == ["app/rates/router.py", "app/rates/settings.py", "tests/rates/test_rates.py"]
    lines = dict(ROW.findall(project.read("docs/develop.md")))
    modules |= {
        "tests/rates/test_client.py": ASKED,
        "app/prices/models.py": MODEL,
        "app/prices/router.py": STREAM + stream,
    }
    modules["tests/prices/test_export.py"] = STREAMED
    for path, text in modules.items():
        write(project, path, text)

    main, settings, example = project / "app/main.py", project / "app/settings.py", project / ".env.example"
    imports = "from app.prices.router import prices\nfrom app.rates.router import rates\n"
    edit(main, "from app.settings import", f"{imports}from app.settings import")
    edit(
        main,
        "    ]\n\n\ndef create_app",
        f"        prices(),\n        {lines['app/main.py']}\n    ]\n\n\ndef create_app",
    )
    end = "\n\n\nclass ServiceSettings"
    edit(settings, end, f"\nfrom app.rates.settings import RatesSettings{end}")
    edit(settings, "\n    @classmethod\n", f"    {lines['app/settings.py']}\n\n    @classmethod\n")
    edit(example, "# Server\n", f"{lines['.env.example']}\n\n# Server\n")

    project.run("make", "migration", "NAME=add prices")
    (migration,) = (project / "migrations/versions").glob("*_add_prices.py")
    assert 'create_table(\n        "prices"' in migration.read_text()
    project.run("scripts/lint")
    project.run("scripts/test", "-q", "tests/rates", "tests/prices", "tests/database/test_migrations.py")
