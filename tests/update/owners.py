"""
Edits that owners make to a service between two updates. Each edit is done to the service before its update, and to a fresh
rendering to say what is expected after it.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.project import Project
from tests.support.releases import UserProject, edit

MAIN = "app/main.py"
SETTINGS = "app/settings.py"
ENDPOINT = "/api/v1/shop"

SHOP_SETTINGS = '''"""Settings of the shop."""

from pydantic_settings import SettingsConfigDict

from app.core.config import EnvironmentSettings


class ShopSettings(EnvironmentSettings):
    """The settings of the shop."""

    model_config = SettingsConfigDict(env_prefix="SHOP_")

    currency: str = "EUR"
'''
SHOP_ROUTER = '''"""The shop."""

from fastapi import APIRouter

from app.core.feature import Feature
from app.shop.settings import ShopSettings


def shop(settings: ShopSettings) -> Feature:
    """Offer the shop."""
    router = APIRouter(prefix="/api/v1/shop", tags=["shop"])

    @router.get("")
    async def currency() -> dict[str, str]:
        return {"currency": settings.currency}

    return Feature("shop", router)
'''
SHOP_DATA_ROUTER = '''"""The shop."""

from fastapi import APIRouter
from sqlalchemy import func, select

from app.core.feature import Feature
from app.database.session import SessionDep
from app.shop.models import Order
from app.shop.settings import ShopSettings


def shop(settings: ShopSettings) -> Feature:
    """Offer the shop."""
    router = APIRouter(prefix="/api/v1/shop", tags=["shop"])

    @router.get("")
    async def orders(session: SessionDep) -> dict[str, str | int]:
        count = await session.scalar(select(func.count()).select_from(Order))
        return {"currency": settings.currency, "orders": count or 0}

    return Feature("shop", router)
'''
SHOP_MODELS = '''"""Orders, as they are stored."""

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from app.database.base import Base
from app.database.types import RowId


class Order(Base):
    """One order of an item."""

    __tablename__ = "orders"

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    item_id: Mapped[int] = mapped_column(ForeignKey("items.id"), index=True)
'''
SHOP_MIGRATION = '''"""Orders."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go forward."""
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "orders",
        sa.Column("id", number, nullable=False),
        sa.Column("item_id", number, nullable=False),
        sa.ForeignKeyConstraint(["item_id"], ["items.id"], name=op.f("fk_orders_item_id_items")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_orders")),
    )
    op.create_index(op.f("ix_orders_item_id"), "orders", ["item_id"])


def downgrade() -> None:
    """Go back."""
    op.drop_table("orders")
'''

OWN_TESTS = "tests/shop"
SHOP_TEST = '''"""Tests of the shop."""

from fastapi.testclient import TestClient

from app.shop.router import shop
from app.shop.settings import ShopSettings
from tests.core.harness import build, client_of, dependency, works

URL = "/api/v1/shop"


def test_default(client: TestClient) -> None:
    """By itself it is in euros."""
    assert client.get(URL).json() == {"currency": "EUR"}


def test_another_currency() -> None:
    """One may be set."""
    service = build(shop(ShopSettings(currency="CHF")), dependency("bank", works))
    with client_of(service) as client:
        assert client.get(URL).json() == {"currency": "CHF"}
        assert client.get("/ready").json()["checks"]["bank"]["status"] == "up"
'''
SHOP_DATA_TEST = '''"""Tests of the shop."""

import pytest
from alembic import command
from fastapi.testclient import TestClient

from app.database.session import Database
from app.shop.models import Order
from tests.fixtures.database import alembic_config, run_sql

URL = "/api/v1/shop"


def test_orders_are_counted(client: TestClient, database_url: str) -> None:
    """Of an item that there is."""
    item = client.post("/api/v1/items", json={"name": "lamp"}).json()
    run_sql(database_url, f"INSERT INTO orders (item_id) VALUES ({item['id']})")
    assert client.get(URL).json() == {"currency": "EUR", "orders": 1}


def test_the_migration_makes_the_table(database_url: str) -> None:
    """As the model has it."""
    command.check(alembic_config(database_url))


@pytest.mark.anyio
async def test_there_is_no_order(database: Database) -> None:
    """Looked up in a session of the test's own."""
    async with database.session() as session:
        assert await session.get(Order, 1) is None
'''

#: Text of the owner's, by path; what git ignores among it.
Files = Mapping[str, str]
SECRETS: Files = {
    ".env": "DATABASE_URL=postgresql://real:secret@db/shop\n",
    ".env.production": "API_TOKEN=very-secret\n",
    "var/development.db": "precious",
}

LAST_SECTION = "\n## Who to call\n\nUs.\n"


def write(project: Project, files: Files) -> None:
    for name, text in files.items():
        path = project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def change(project: Project, name: str, old: str, new: str) -> None:
    edit(project / name, old, new)


def feature(project: Project, old: Project) -> None:
    """
    A feature with settings, tests and, where there is a database, a table, a foreign key and a migration.
    """
    has_database = (project / "migrations").is_dir()
    write(project, {"app/shop/__init__.py": "", "app/shop/settings.py": SHOP_SETTINGS})
    write(project, {"app/shop/router.py": SHOP_DATA_ROUTER if has_database else SHOP_ROUTER})
    test = SHOP_DATA_TEST if has_database else SHOP_TEST
    write(project, {f"{OWN_TESTS}/__init__.py": "", f"{OWN_TESTS}/test_shop.py": test})
    if has_database:
        write(project, {"app/shop/models.py": SHOP_MODELS, "migrations/versions/0002_orders.py": SHOP_MIGRATION})
    change(project, MAIN, "\n\n\ndef features(", "\nfrom app.shop.router import shop\n\n\ndef features(")
    change(project, MAIN, "    ]\n\n\ndef create_app", "        shop(settings.shop),\n    ]\n\n\ndef create_app")
    change(
        project,
        SETTINGS,
        "\n\n\nclass ServiceSettings",
        "\nfrom app.shop.settings import ShopSettings\n\n\nclass ServiceSettings",
    )
    change(
        project,
        SETTINGS,
        "\n    @classmethod\n",
        "    shop: ShopSettings = field(default_factory=ShopSettings)\n\n    @classmethod\n",
    )
    change(project, ".env.example", "# Server\n", "# Of the shop.\n# SHOP_CURRENCY=EUR\n\n# Server\n")


def number(project: Project, old: Project) -> None:
    """
    A number of the server's that did not suit.
    """
    change(project, "gunicorn.conf.py", "\nbacklog = 2048\n", "\nbacklog = 4096\n")


def readme(project: Project, old: Project) -> None:
    """
    Sections of the README, one within and one at the end; and the changelog.
    """
    change(project, "README.md", "## Deploy and operate\n", "## Our shop\n\nIt sells.\n\n## Deploy and operate\n")
    write(project, {"README.md": project.read("README.md") + LAST_SECTION})
    change(project, "CHANGELOG.md", "## Unreleased\n", "## 1.0\n\n- A shop.\n")


def pipeline(project: Project, old: Project) -> None:
    """
    A step in CI, where the template brings one, and a workflow of one's own.
    """
    write(project, {".github/workflows/nightly-report.yml": "on: workflow_dispatch\njobs: {}\n"})
    if (project / ".github/workflows/ci.yml").exists():
        change(
            project,
            ".github/workflows/ci.yml",
            "      - run: make ci\n",
            "      - run: make ci\n      - run: make ours\n",
        )
    write(project, {"scripts/ours.mk": ".PHONY: ours\n\nours: ## Ours\n\t@true\n"})


def dependency(project: Project, old: Project) -> None:
    """
    One that the service needs, added by hand or by uv.
    """
    change(project, "pyproject.toml", '    "anyio>=4.16",\n', '    "anyio>=4.16",\n    "click>=8",\n')


def lock(project: Project, old: Project) -> None:
    """
    The lock, committed as README says.
    """
    write(project, {"uv.lock": "version = 1\n# as it was locked\n"})


def ignored(project: Project, old: Project) -> None:
    """
    Files that git does not know: secrets, and the data of development.
    """
    write(project, SECRETS)


def dropped(project: Project, old: Project) -> None:
    """
    `make drop-example`, by the script that services had. A service of today is rendered without the example instead.
    """
    if (project / "scripts/drop-example").exists():
        project.run("scripts/drop-example")


def renamed(project: Project, old: Project) -> None:
    """
    AGENTS.md under the name that another tool reads.
    """
    (project / "AGENTS.md").unlink()
    write(project, {"CLAUDE.md": old.read("AGENTS.md")})


#: From before the template had any.
OWN: Files = {
    "Dockerfile": "FROM our/base\nRUN make us-happy\n",
    "compose.yaml": "services: {ours: {image: ours}}\n",
    "docs/production.md": "# How we run it\n",
}


def own(project: Project, old: Project) -> None:
    """
    A Dockerfile, a stack and a document of one's own, where the template brought none then.
    """
    write(project, {name: text for name, text in OWN.items() if not (old / name).exists()})


def deleted(project: Project, old: Project) -> None:
    """
    Files that nobody missed.
    """
    (project / ".editorconfig").unlink()
    (project / "AGENTS.md").unlink()


def everything(project: Project, old: Project) -> None:
    """
    A year of it.
    """
    for one in (feature, number, readme, pipeline, dependency, lock, ignored, renamed, own):
        one(project, old)


@dataclass(frozen=True)
class Edit:
    """
    One of them. `runs` says whether it could keep the service from starting.
    """

    do: Callable[[Project, Project], None]
    runs: bool = False
    subfolder: bool = False
    #: Answers by which a service of today is what the edit makes of an older one.
    today: Mapping[str, Any] = field(default_factory=dict)
    #: Conflicts that cannot be avoided any more: both sides changed what were neighbours in that state.
    conflicts: Mapping[str, list[str]] = field(default_factory=dict)

    def __str__(self) -> str:
        return "subfolder" if self.subfolder else self.do.__name__


#: The last paragraph of that state's README had a line that was too long; it was broken differently since.
LAST_PARAGRAPH = {"98325d4": ["README.md"]}
EDITS = (
    Edit(feature, runs=True),
    Edit(number, runs=True),
    Edit(readme, conflicts=LAST_PARAGRAPH),
    Edit(pipeline),
    Edit(dependency, runs=True),
    Edit(lock),
    Edit(ignored),
    # That state named the example in two lists of one line each, to which the next state added a name.
    Edit(dropped, runs=True, today={"example": False}, conflicts={"98325d4": ["Makefile", "pyproject.toml"]}),
    Edit(renamed),
    Edit(own),
    Edit(deleted),
    Edit(everything, runs=True, conflicts=LAST_PARAGRAPH),
    Edit(everything, subfolder=True, conflicts=LAST_PARAGRAPH),
)


def copied(project: Project, destination: Path) -> UserProject:
    """
    A copy of a rendering, to be edited; not in git.
    """
    shutil.copytree(project.path, destination, symlinks=True, ignore=shutil.ignore_patterns(".git", ".venv", "uv.lock"))
    return UserProject(destination, project.variant)
