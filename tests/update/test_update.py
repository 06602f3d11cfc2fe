"""
`copier update` from one release to the next, in a project that has been worked on, without trust.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.projects import Projects
from tests.support.releases import Template, UserProject, git
from tests.support.variants import named

MAIN = "app/main.py"
#: A feature of the user's own.
SHOP = """from fastapi import APIRouter

from app.core.feature import Feature


def shop() -> Feature:
    return Feature("shop", APIRouter(prefix="/api/v1/shop"))
"""


@pytest.fixture
def template(projects: Projects, tmp_path: Path) -> Template:
    """
    The working tree, released as v0.0.1.
    """
    return Template(projects.source, tmp_path / "template")


@pytest.fixture
def project(template: Template, tmp_path: Path) -> UserProject:
    """
    A fresh default project of v0.0.1.
    """
    return template.copy(tmp_path / "project")


def improve(template: Template) -> None:
    """
    Release v0.0.2, which changes a seam, a plain file, a number and a pinned version, and adds and removes a file.
    """
    template.edit("template/app/main.py.jinja", "what this service is made of", "all that this service is made of")
    template.edit("template/serving/timeouts.py", "SHUTDOWN_SECONDS = 2.0", "SHUTDOWN_SECONDS = 2.5")
    template.edit("template/AGENTS.md", "# For whoever changes this code", "# For everyone who changes this code")
    template.edit("template/pyproject.toml.jinja", '"idna == ', '"idna <= ')
    (template.path / "template" / "app" / "core" / "improved.py").write_text('"""New in this release."""\n')
    (template.path / "template" / ".editorconfig").unlink()
    template.release("v0.0.2")


def work(project: UserProject) -> None:
    """
    A year of use of a project: features, dependencies, settings, removed files.
    """
    project.edit(
        MAIN, "from app.settings import Settings\n", "from app.settings import Settings\nfrom app.shop import shop\n"
    )
    project.edit(MAIN, "        items(),\n", "        items(),\n        shop(),\n")
    (project / "app" / "shop.py").write_text(SHOP)
    project.edit("pyproject.toml", '    "alembic>=', '    "httpx2>=2",\n    "alembic>=')
    project.edit(".env.example", "# Server\n", "# SHOP_URL=\n\n# Server\n")
    project.edit("CHANGELOG.md", "## Unreleased\n", "## 1.0\n\n- A shop.\n")
    project.edit("README.md", "## Deploy and operate\n", "## Our shop\n\nIt sells.\n\n## Deploy and operate\n")
    project.edit("gunicorn.conf.py", "backlog = 2048", "backlog = 4096")
    (project / "app" / "database" / "README.md").unlink()
    project.commit("a year of work")


def test_edits_are_kept_and_improvements_arrive(
    projects: Projects, template: Template, project: UserProject, tmp_path: Path
) -> None:
    """
    Both sides' changes are there, nothing conflicts, and what nobody touched equals a fresh render.
    """
    work(project)
    worked_on = set(project.tree())
    improve(template)
    project.update("v0.0.2")

    assert project.conflicts() == []
    main = project.read(MAIN)
    assert "from app.shop import shop" in main
    assert "        shop(),\n" in main
    assert "all that this service is made of" in main
    assert "backlog = 4096" in project.read("gunicorn.conf.py")
    assert '"httpx2>=2"' in project.read("pyproject.toml")
    assert '"idna <= ' in project.read("pyproject.toml")
    assert "- A shop." in project.read("CHANGELOG.md")
    assert "# SHOP_URL=" in project.read(".env.example")
    assert "It sells." in project.read("README.md")
    assert not (project / "app/database/README.md").exists(), "what the user deleted stays deleted"
    assert set(project.tree()) ^ worked_on == {"app/core/improved.py", ".editorconfig"}

    python = projects.render(named("default")).sync().bin / "python"
    project.run(
        python,
        "-c",
        "from app.main import features; from app.settings import Settings; assert 'shop' in str(features(Settings()))",
    )

    fresh = template.copy(tmp_path / "fresh", "v0.0.2")
    touched = {MAIN, "pyproject.toml", ".env.example", "CHANGELOG.md", "README.md", "gunicorn.conf.py"}
    for name in set(fresh.tree()) & set(project.tree()) - touched:
        assert project.read(name) == fresh.read(name), name
    assert project.answers["_commit"] == "v0.0.2"


#: A migration of the owner's, after the example's.
PRICES = '''"""Prices."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table("prices", sa.Column("cents", sa.Integer(), nullable=False))


def downgrade() -> None:
    op.drop_table("prices")
'''
FIRST_MIGRATION = "migrations/versions/0001_items.py"


def trees_of_the_example(project: UserProject) -> set[str]:
    return {name for name in project.tree() if re.match(r"(app|tests)/(items|quotes)/", name)}


def test_the_example_goes_and_its_migration_stays(
    projects: Projects, template: Template, project: UserProject, tmp_path: Path
) -> None:
    """
    `copier update --data example=no`: its files leave, the owner's edits are kept, and a database that was migrated is
    where the code expects it, now and after the next update. The table is dropped when the owner says so.
    """
    work(project)
    (project / "migrations/versions/0002_prices.py").write_text(PRICES)
    project.commit("prices")
    kept = {name: project.read(name) for name in (FIRST_MIGRATION, "app/shop.py", "gunicorn.conf.py", "README.md")}
    python = projects.render(named("default")).sync().bin / "python"
    database = {"DATABASE_URL": f"sqlite:///{tmp_path / 'shop.db'}"}

    def alembic(*words: str) -> str:
        return project.run(python, "-m", "alembic", *words, env=database).stdout

    alembic("upgrade", "head")
    project.update("v0.0.1", example="no")
    # The owner's line is right below the example's: Git leaves it to him.
    assert project.conflicts() == [MAIN]
    conflict = re.compile(
        r"<<<<<<< before updating\n        items\(\),\n(        shop\(\),\n)=======\n>>>>>>> after updating\n"
    )
    settled, count = conflict.subn(r"\1", project.read(MAIN))
    assert count == 1, project.read(MAIN)
    (project / MAIN).write_text(settled)
    assert project.conflicts() == []
    assert project.answers["example"] is False
    assert trees_of_the_example(project) == set()
    assert {name: project.read(name) for name in kept} == kept
    assert "items" not in project.read(MAIN)
    assert "        shop(),\n" in project.read(MAIN)
    assert "0002 (head)" in alembic("current")
    alembic("upgrade", "head")

    with (template.path / "template/app/items/router.py").open("a") as file:
        file.write("# Improved.\n")
    improve(template)
    project.update("v0.0.2")
    assert project.conflicts() == []
    assert trees_of_the_example(project) == set()
    assert project.read(FIRST_MIGRATION) == kept[FIRST_MIGRATION]

    alembic("revision", "--autogenerate", "--rev-id", "0003", "-m", "drop items")
    (written,) = (project / "migrations/versions").glob("0003_*.py")
    assert 'op.drop_table("items")' in written.read_text().replace("'", '"')
    alembic("upgrade", "head")

    project.update("v0.0.2", example="yes")
    assert project.conflicts() == [MAIN]
    assert "app/items/router.py" in trees_of_the_example(project)
    assert project.read(FIRST_MIGRATION) == kept[FIRST_MIGRATION]


@pytest.mark.parametrize("database", ["postgresql", "none"])
def test_a_service_without_the_example_never_gets_it(template: Template, tmp_path: Path, database: str) -> None:
    """
    An update that changes the example, and even its migration, brings nothing of it.
    """
    project = template.copy(tmp_path / "bare", example=False, database=database)
    before = set(project.tree())
    assert trees_of_the_example(project) == set()
    assert FIRST_MIGRATION not in before
    with (template.path / "template" / FIRST_MIGRATION).open("a") as file:
        file.write("# Improved.\n")
    improve(template)
    project.update("v0.0.2")
    assert project.conflicts() == []
    assert set(project.tree()) ^ before == {"app/core/improved.py", ".editorconfig"}


def test_the_example_can_be_turned_off_and_on(project: UserProject) -> None:
    """
    The tree is what it was; a database that is turned off takes the migration along, with or without the example.
    """
    before = {name: project.read(name) for name in project.tree()}
    project.update("v0.0.1", example=False)
    project.update("v0.0.1", example=True)
    assert project.conflicts() == []
    assert {name: project.read(name) for name in project.tree()} == before
    project.update("v0.0.1", example=False)
    project.update("v0.0.1", database="none")
    assert project.conflicts() == []
    assert not (project / "migrations").exists()


def test_ignored_files_are_not_touched(template: Template, project: UserProject) -> None:
    """
    Secrets in .env and data in var/ survive: no ignored file is ever rendered.
    """
    (project / ".env").write_text("DATABASE_URL=postgresql://real:secret@db/shop\n")
    (project / "var").mkdir()
    (project / "var" / "development.db").write_text("precious")
    improve(template)
    project.update("v0.0.2")
    assert (project / ".env").read_text() == "DATABASE_URL=postgresql://real:secret@db/shop\n"
    assert (project / "var" / "development.db").read_text() == "precious"


def test_no_rendered_file_is_ignored(project: UserProject) -> None:
    """
    Everything that is rendered is committed by `git add -A`: nothing an update could overwrite unseen.
    """
    tracked = set(git(project.path, "ls-files").splitlines())
    rendered = {path.relative_to(project.path).as_posix() for path in project.path.rglob("*") if path.is_file()}
    assert {name for name in rendered if not name.startswith(".git/")} == tracked


@pytest.mark.parametrize(
    ("answer", "other", "home"),
    [
        ("database", "none", "postgresql"),
        ("database", "sqlite", "postgresql"),
        ("ci", "gitlab", "auto"),
        ("ci", "none", "auto"),
    ],
)
def test_an_option_can_be_turned_off_and_on(project: UserProject, answer: str, other: str, home: str) -> None:
    """
    Turned off, its files go and edits elsewhere stay; turned on again, the tree is what it was.
    """
    project.edit("README.md", "## Test\n", "## How we test\n")
    (project / "app" / "ours.py").write_text('"""Ours."""\n')
    project.commit("ours")
    before = {name: project.read(name) for name in project.tree()}

    project.update("v0.0.1", **{answer: other})
    assert project.conflicts() == []
    off = set(project.tree())
    assert off != set(before)
    assert {"README.md", "app/ours.py"} <= off
    assert "## How we test" in project.read("README.md")

    project.update("v0.0.1", **{answer: home})
    assert project.conflicts() == []
    assert {name: project.read(name) for name in project.tree()} == before


def test_an_option_that_is_turned_off_takes_its_edits_along(project: UserProject) -> None:
    """
    As the message before an update says: edits in files of the option are gone, edits in seams are kept.
    """
    with (project / "app/items/__init__.py").open("a") as file:
        file.write("# Ours.\n")
    project.edit(MAIN, '"""The composition root', '"""Our composition root')
    project.update("v0.0.1", database="none")
    assert project.conflicts() == []
    assert not (project / "app" / "items").exists()
    assert (project / "app" / "quotes").is_dir()
    assert '"""Our composition root' in project.read(MAIN)
    project.update("v0.0.1", database="postgresql")
    assert "# Ours." not in project.read("app/items/__init__.py")
    assert '"""Our composition root' in project.read(MAIN)


def test_a_file_that_becomes_optional_keeps_its_edits(template: Template, project: UserProject) -> None:
    """
    A later release puts an existing file under a new option. Old answers do not know it: nothing conflicts.
    """
    project.edit("AGENTS.md", "## Layers\n", "## Our layers\n")
    (template.path / "features" / "agents.yml").write_text(
        "agents: {type: bool, default: true}\n"
        'has_agents: {type: bool, when: false, default: "{{ agents }}"}\n'
        "_exclude:\n  - |\n    # {% if has_agents is defined and not has_agents %}\n    /AGENTS.md\n    # {% endif %}\n"
    )
    index = template.path / "copier.yml"
    index.write_text(index.read_text() + "---\n!include features/agents.yml\n")
    template.edit("template/AGENTS.md", "## Commands", "## The commands")
    template.release("v0.0.2")
    project.update("v0.0.2")
    assert project.conflicts() == []
    assert "## Our layers" in project.read("AGENTS.md")
    assert "## The commands" in project.read("AGENTS.md")
    project.update("v0.0.2", agents=False)
    assert not (project / "AGENTS.md").exists()


def test_better_defaults_arrive(template: Template, project: UserProject) -> None:
    """
    An answer that was never chosen is stored as "auto", so a project follows when the template learns a better value.
    """
    assert "# REQUEST_SECONDS=30" in project.read(".env.example")
    template.edit("features/budget.yml", "{{ 30 if request_budget", "{{ 20 if request_budget")
    template.release("v0.0.2")
    project.update("v0.0.2")
    assert "# REQUEST_SECONDS=20" in project.read(".env.example")
    assert "request_seconds=20" in project.read("gunicorn.conf.py")


def test_an_update_to_the_same_release_changes_nothing(project: UserProject) -> None:
    """
    Rendering is idempotent, also over a project that was edited.
    """
    work(project)
    project.update("v0.0.1")
    assert project.changed() == []


def test_a_conflict_is_marked_and_caught(template: Template, project: UserProject) -> None:
    """
    The user decides about a line that both sides changed: it is marked inline, for the hook and the eye to find.
    """
    project.edit("serving/timeouts.py", "SHUTDOWN_SECONDS = 2.0", "SHUTDOWN_SECONDS = 4.0")
    improve(template)
    project.update("v0.0.2")
    assert project.conflicts() == ["serving/timeouts.py"]
