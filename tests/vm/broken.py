"""
Releases that must not get through, each as the edit of a project that makes it.
"""

from __future__ import annotations

from collections.abc import Mapping

from tests.support.project import Project

MIGRATION = '''"""{title}."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go forward."""
    {statement}


def downgrade() -> None:
    """Go back."""
'''

#: A feature that is added to the root: its name, and what it does.
FEATURE = '''

@asynccontextmanager
async def _lifespan(_: FastAPI) -> AsyncIterator[None]:
    {at_start}
    yield


async def _check(_: Mapping[str, Any]) -> None:
    {at_check}


router = APIRouter(lifespan=_lifespan)


@router.get("/slow")
async def _slow(seconds: float) -> str:
    Path(os.environ["STATE_DIRECTORY"], "slow").touch()
    await asyncio.sleep(seconds)
    return "slow"


def added() -> Feature:
    """Build the feature."""
    return Feature("broken", router, check=_check, required=True)


app = create_app()
'''
IMPORTS = """
import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI

from app.core.feature import Feature"""


def releases(project: Project) -> Mapping[str, Mapping[str, str]]:
    """
    The fault → the files that make it.
    """
    main = project.read("app/main.py")
    configuration = project.read("gunicorn.conf.py")
    return {
        "import": {"app/main.py": f'{main}\nraise RuntimeError("cannot be imported")\n'},
        "configuration": {"gunicorn.conf.py": f'{configuration}\nraise RuntimeError("cannot be configured")\n'},
        "lifespan": with_feature(project, at_start='raise RuntimeError("cannot start")'),
        "lifespan, by an exit": with_feature(project, at_start='raise SystemExit("cannot go on")'),
        "never-ready": never_ready(project),
        "migration": migration("op.create_table('items', sa.Column('id', sa.Integer()))", title="Fails"),
    }


def ending(project: Project) -> Mapping[str, str]:
    """
    A worker that ends at once, without a word.
    """
    return with_feature(project, at_start="os._exit(7)")


def never_ready(project: Project) -> Mapping[str, str]:
    """
    A check that fails for ever.
    """
    return with_feature(project, at_check='raise RuntimeError("is down")')


def migration(statement: str, *, title: str) -> Mapping[str, str]:
    """
    One revision more.
    """
    return {"migrations/versions/0002_more.py": MIGRATION.format(title=title, statement=statement)}


def with_feature(project: Project, *, at_start: str = "pass", at_check: str = "pass") -> Mapping[str, str]:
    """
    A feature more, which answers slowly at /slow?seconds=.
    """
    main = project.read("app/main.py")
    start, rest = main.split("\nfrom app.core.feature import Feature", 1)
    assert rest.count("        items(),\n") == 1
    assert rest.count("\n\napp = create_app()\n") == 1
    rest = rest.replace("        items(),\n", "        items(),\n        added(),\n")
    rest = rest.replace("\n\napp = create_app()\n", FEATURE.format(at_start=at_start, at_check=at_check))
    return {"app/main.py": start + IMPORTS + rest}
