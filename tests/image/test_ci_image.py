"""
The steps of the generated CI for an image, done here: a good one passes, and a bad one is caught.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.image.images import DEFAULT, MINIMAL, SQLITE, Images
from tests.support.containers.engine import Engine
from tests.support.project import Project
from tests.support.projects import Projects
from tests.support.variants import Variant, of

#: One after another: what is left is told by its name.
pytestmark = pytest.mark.xdist_group("ci-image")

#: A name that no other test of this engine uses.
SLUG = "looked-at"
#: Takes what the real scanner is given, which is in a registry as its database is: an image as `docker save` writes it.
#: It finds something unless it has been told what to leave out.
SCANNER = """
import json, sys, tarfile
assert sys.argv[1] == "docker-archive:/tmp/image.tar", sys.argv
assert {"--only-fixed", "--fail-on", "high"} <= set(sys.argv), sys.argv
with tarfile.open("/tmp/image.tar") as archive:
    print("looked into", *json.load(archive.extractfile("manifest.json"))[0]["RepoTags"])
if "--config" not in sys.argv:
    sys.exit(2)
print("left out:", open(sys.argv[sys.argv.index("--config") + 1]).read())
"""
#: What is wrong, in which image, by a last step of its Dockerfile; and how that is reported.
BREAKAGES = (
    (DEFAULT, "ENV DATABASE_URL=sqlite:////tmp/data.db", "it ends without saying what is missing"),
    (DEFAULT, 'USER 0\nRUN ["rm", "-r", "migrations/versions"]', "alembic check has failed"),
    (MINIMAL, "ENV BIND=127.0.0.1:8000", "no answer: ConnectionRefusedError"),
    (MINIMAL, "STOPSIGNAL SIGKILL", "told to stop it ends with 137"),
)


@pytest.fixture(scope="module")
def project(projects: Projects, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """
    A checkout with a lock, as CI finds it; with compose, whose files are looked at too.
    """
    project = projects.render(of(project_slug=SLUG, targets=["vm", "container"])).copy(
        tmp_path_factory.mktemp("ci") / "work"
    )
    project.run("uv", "lock")
    project.run("git", "init", "--quiet")
    project.run("git", "add", "--all")
    project.run("git", "-c", "user.name=ci", "-c", "user.email=ci@example.com", "commit", "--quiet", "--message=all")
    return project


@pytest.fixture
def ci(engine: Engine, project: Project) -> dict[str, str]:
    """
    The environment of CI beside the engine: the images that it can pull.
    """
    engine.provide(f"python:{project.facts['python']}-slim", "postgres:17")
    engine.furnish_compose()
    return {"SCANNER": "looked-at-scanner"}


def left(engine: Engine) -> list[str]:
    """
    Things that the scripts have made and not removed.
    """
    listings = (
        ("ps", "--all", "--format={{.Names}}"),
        ("network", "ls", "--format={{.Name}}"),
        ("volume", "ls", "--format={{.Name}}"),
    )
    names = [name for listing in listings for name in engine.docker(*listing).stdout.split()]
    return [name for name in names if name.startswith(("smoke-", "scan-"))]


def test_ci_passes(engine: Engine, project: Project, ci: dict[str, str], workplace: Path) -> None:
    """
    The steps of the workflow, as they are written there.
    """
    scanner(engine, project, workplace, ci)
    job = yaml.safe_load(project.read(".github/workflows/image.yml"))["jobs"]["image"]
    steps = [step["run"] for step in job["steps"] if "run" in step]
    (project / ".grype.yaml").write_text("ignore: []\n")
    said = [engine.run("sh", "-ec", step, folder=project.path, env=ci).stdout for step in steps]
    (project / ".grype.yaml").unlink()
    built, smoked, scanned = said
    version = project.run("git", "rev-parse", "--short", "HEAD").stdout.strip()
    assert built.splitlines()[-1] == f"{SLUG}:{version}"
    assert [line.partition("  ")[0] for line in smoked.splitlines()] == ["ok"] * 7
    assert scanned.splitlines() == [f"looked into {SLUG}:current", "left out: ignore: []", ""]
    assert not left(engine)


def test_a_finding_fails(engine: Engine, project: Project, ci: dict[str, str], workplace: Path) -> None:
    """
    A finding of the scanner ends the job; an image that is not there says how it is built.
    """
    scanner(engine, project, workplace, ci)
    engine.docker("build", "--quiet", "--tag=looked-at:small", "-", input="FROM scratch\nWORKDIR /small\n")
    done = engine.run("scripts/scan-image", "looked-at:small", folder=project.path, env=ci, check=False)
    assert (done.returncode, done.stdout) == (2, "looked into looked-at:small\n"), done.stderr
    for script in ("scan-image", "smoke-image"):
        done = engine.run(f"scripts/{script}", "looked-at:nowhere", folder=project.path, env=ci, check=False)
        assert (done.returncode, done.stderr) == (
            1,
            "There is no image looked-at:nowhere. To build it: scripts/image\n",
        )
    assert not left(engine)


@pytest.mark.parametrize("variant", [MINIMAL, SQLITE], ids=str)
def test_a_good_image_passes(engine: Engine, images: Images, variant: Variant) -> None:
    """
    Also one that needs nothing, and one that brings its database along.
    """
    image = images(variant)
    engine.run("scripts/smoke-image", image.tag, folder=image.project.path)
    assert not left(engine)


@pytest.mark.parametrize(
    ("variant", "lines", "reason"),
    BREAKAGES,
    ids=[reason.replace(" ", "-") for _, _, reason in BREAKAGES],
)
def test_a_bad_image_is_caught(engine: Engine, images: Images, variant: Variant, lines: str, reason: str) -> None:
    """
    The fault is named, and nothing is left behind all the same.
    """
    image, broken = images(variant), f"looked-at:{variant.id}"
    engine.provide("postgres:17")
    engine.docker("build", "--quiet", f"--tag={broken}", "-", input=f"FROM {image.tag}\n{lines}\n")
    done = engine.run("scripts/smoke-image", broken, folder=image.project.path, check=False)
    assert done.returncode == 1, done.stdout
    assert reason in done.stderr, done.stderr
    assert not left(engine)


def scanner(engine: Engine, project: Project, folder: Path, ci: dict[str, str]) -> None:
    """
    Build the stand-in of the scanner.
    """
    folder.mkdir()
    (folder / "scanner.py").write_text(SCANNER)
    base = f"python:{project.facts['python']}-slim"
    (folder / "Dockerfile").write_text(f'FROM {base}\nCOPY scanner.py /\nENTRYPOINT ["python", "/scanner.py"]\n')
    engine.docker("build", "--quiet", f"--tag={ci['SCANNER']}", folder)
