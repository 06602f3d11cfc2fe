"""
From a commit to the file that is deployed: what is refused, what is in it, and that it fits the host.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support import index
from tests.support.processes import wait_until
from tests.support.project import uv
from tests.support.projects import Projects
from tests.support.releases import git
from tests.support.variants import of
from tests.support.workflows import steps

#: Where PATH leads in these tests, after the folder that a test puts its own programs into.
PATH = os.pathsep.join([str(Path(uv()).parent), os.environ.get("PATH", os.defpath)])
#: What the index asks for.
USER, PASSWORD = "builder", "hidden-word"


@dataclass
class Checkout:
    """
    A small service in a folder of a larger repository, with an index of its own packages.
    """

    path: Path
    address: str
    sources: list[str] = field(default_factory=list)
    indexes: dict[str, str] = field(default_factory=dict)
    tools: list[str] = field(default_factory=list)
    packaged: bool = False
    members: list[str] = field(default_factory=list)

    @property
    def index(self) -> Path:
        return self.path.parent / "index"

    @property
    def programs(self) -> Path:
        """
        The first folder on PATH.
        """
        folder = self.path.parent / "programs"
        folder.mkdir(exist_ok=True)
        return folder

    @property
    def environ(self) -> dict[str, str]:
        return {
            "HOME": os.environ.get("HOME", "/"),
            "PATH": f"{self.programs}:{PATH}",
            "UV_CACHE_DIR": str(self.path.parent / "cache"),
            "UV_PYTHON_DOWNLOADS": "never",
            **{f"UV_INDEX_{name.upper()}_USERNAME": USER for name in ("own", *self.indexes)},
            **{f"UV_INDEX_{name.upper()}_PASSWORD": PASSWORD for name in ("own", *self.indexes)},
        }

    def depend(self, *requirements: str, lock: bool = True) -> None:
        """
        Say what it needs, lock that, and commit everything.
        """
        listed = ", ".join(f"{requirement!r}" for requirement in requirements)
        (self.path / "pyproject.toml").write_text(
            f'[project]\nname = "small"\nversion = "1"\nrequires-python = ">=3.11"\ndependencies = [{listed}]\n'
            f'[dependency-groups]\ndev = {self.tools!r}\n[tool.uv]\npackage = {str(self.packaged).lower()}\n[[tool.uv.index]]\nname = "own"\nurl = "{self.address}"\ndefault = true\n'
            + "".join(
                f'[[tool.uv.index]]\nname = "{name}"\nurl = "{url}"\nexplicit = true\n'
                for name, url in self.indexes.items()
            )
            + "".join(f"[tool.uv.sources.{line}\n" for line in self.sources)
            + (
                '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
                if self.packaged
                else ""
            )
            + (f"[tool.uv.workspace]\nmembers = {self.members!r}\n" if self.members else "")
        )
        if lock:
            subprocess.run([uv(), "lock", "--quiet"], cwd=self.path, env=self.environ, check=True)
        self.commit()

    def commit(self) -> None:
        git(self.path, "add", "--all", ".")
        git(self.path, "commit", "--quiet", "--allow-empty", "--message=next")

    def build(
        self, *words: str, check: bool = True, umask: int = -1, environ: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """
        Run it, from elsewhere, with more in the environment.
        """
        command = [str(self.path / "deploy" / "build"), *words]
        done = subprocess.run(
            command,
            cwd="/",
            env=self.environ | dict(environ or {}),
            umask=umask,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        assert not check or not done.returncode, done.stderr
        assert not list(self.path.glob("dist/.*")), "it left something behind"
        return done

    def refuse(self, *words: str, environ: Mapping[str, str] | None = None) -> str:
        """
        Have it refused; the reason is returned.
        """
        before = sorted(self.path.glob("dist/*"))
        done = self.build(*words, check=False, environ=environ)
        assert done.returncode not in {0, 126, 127}, done.stderr
        assert not done.stdout
        assert sorted(self.path.glob("dist/*.tar.gz")) == [path for path in before if path.suffix == ".gz"]
        return done.stderr

    def content(self, *words: str) -> dict[str, str]:
        """
        Build, and return what is in the file: name → text, of links where they lead.
        """
        return content(Path(self.build(*words).stdout.removesuffix("\n")))


def content(path: Path) -> dict[str, str]:
    """
    The content of the file of a release.
    """
    with tarfile.open(path) as archive:
        found = {}
        for member in archive:
            if not member.isdir():
                file = archive.extractfile(member) if member.isfile() else None
                text = file.read().decode(errors="replace") if file else f"→ {member.linkname}"
                found[member.name.removeprefix("./")] = text
        return found


@pytest.fixture
def checkout(projects: Projects, tmp_path: Path) -> Iterator[Checkout]:
    rendered = projects.render(of(targets=["vm"], project_slug="shop"))
    place = tmp_path / "repository" / "service"
    (place / "deploy").mkdir(parents=True)
    shutil.copy(rendered / "deploy/build", place / "deploy")
    shutil.copy(rendered / ".gitignore", place)
    (place / "main.py").write_text("committed\n")
    (place.parent / "other.py").write_text("of somebody else\n")
    git(place.parent, "init", "--quiet")
    with index.serve(place.parent / "index", USER, PASSWORD) as address:
        checkout = Checkout(place, address)
        checkout.index.mkdir()
        yield checkout


def test_a_release_is_what_is_committed(checkout: Checkout) -> None:
    """
    The project's own folder of a larger repository, links as links, without what git leaves out and without the tools of development; and a note of what it is.
    """
    index.wheel(checkout.index, "pure", "1.0")
    index.wheel(checkout.index, "linter", "1.0")
    checkout.tools = ["linter"]
    (checkout.path / "link").symlink_to("main.py")
    (checkout.path / ".gitattributes").write_text("internal.txt export-ignore\n")
    (checkout.path / "internal.txt").touch()
    checkout.depend("pure")
    (checkout.path.parent / "other.py").write_text("changed, but of somebody else\n")
    (checkout.path / ".env").write_text("SECRET=ignored\n")
    done = checkout.build("3.13", "x86_64")
    commit = git(checkout.path, "rev-parse", "HEAD").strip()
    assert re.fullmatch(
        rf"{checkout.path}/dist/shop-(\d{{8}}T\d{{6}}Z-{commit[:7]})-py3\.13-x86_64\.tar\.gz\n", done.stdout
    )
    path = Path(done.stdout.strip())
    found = content(path)
    note = json.loads(found.pop("release.json"))
    assert note == {
        "name": path.name.removeprefix("shop-").removesuffix("-py3.13-x86_64.tar.gz"),
        "slug": "shop",
        "python": "3.13",
        "machine": "x86_64",
        "commit": commit,
    }
    committed = {name: text for name, text in found.items() if not name.startswith(".packages/")}
    assert committed.keys() == {
        ".gitattributes",
        ".gitignore",
        "deploy/build",
        "link",
        "main.py",
        "pyproject.toml",
        "uv.lock",
    }
    assert (committed["main.py"], committed["link"]) == ("committed\n", "→ main.py")
    assert found.keys() - committed.keys() == {f".packages/{name}" for name in installed("pure")}


def test_the_project_is_no_package_of_its_own(checkout: Checkout) -> None:
    """
    Also where its owner has made it one: it runs from its tree, and a second copy would hide that.
    """
    shutil.copytree(index.source(checkout.path.parent / "small", "small", "1"), checkout.path, dirs_exist_ok=True)
    index.wheel(checkout.index, "pure", "1.0")
    checkout.packaged = True
    checkout.depend("pure")
    found = checkout.content("3.13", "x86_64")
    assert ".packages/pure.py" in found
    assert ".packages/small.py" not in found


def installed(name: str) -> set[str]:
    """
    The files that uv makes of one of these wheels.
    """
    info = f"{name}-1.0.dist-info"
    return {f"{name}.py", *(f"{info}/{each}" for each in ("INSTALLER", "METADATA", "RECORD", "REQUESTED", "WHEEL"))}


def test_the_python_and_the_machine_here_are_the_default(checkout: Checkout) -> None:
    """
    Without words it is built for `python3` and for this machine, under the name that it is given.
    """
    checkout.depend()
    (checkout.programs / "python3").write_text(
        f'#!/bin/sh\n[ "$1" != -c ] || exec echo 3.14\nexec {sys.executable} "$@"\n'
    )
    (checkout.programs / "python3").chmod(0o755)
    path = checkout.build(environ={"RELEASE_NAME": "20260101T000000Z-abcdef0"}).stdout.strip()
    assert Path(path).name == f"shop-20260101T000000Z-abcdef0-py3.14-{platform.machine()}.tar.gz"


def test_uncommitted_changes_are_named(checkout: Checkout) -> None:
    """
    The files that are changed, and those that are new.
    """
    checkout.depend()
    (checkout.path / "main.py").write_text("changed\n")
    (checkout.path / "new.py").touch()
    said = checkout.refuse()
    assert "M service/main.py" in said
    assert "?? new.py" in said or "?? service/new.py" in said


def test_nothing_committed_says_what_to_type(checkout: Checkout) -> None:
    """
    Before the first commit, and outside of a repository.
    """
    assert 'git init -b main && git add -A && git commit -m "Start"' in checkout.refuse()
    shutil.rmtree(checkout.path.parent / ".git")
    assert 'git init -b main && git add -A && git commit -m "Start"' in checkout.refuse()


def test_a_lock_that_is_not_committed_says_what_to_type(checkout: Checkout) -> None:
    """
    Absent, or left out by .gitignore.
    """
    checkout.depend(lock=False)
    assert "uv lock && git add uv.lock" in checkout.refuse()
    (checkout.path / ".gitignore").write_text("uv.lock\n/dist/\n")
    checkout.depend()
    assert "uv lock && git add uv.lock" in checkout.refuse()


def test_without_uv_it_says_how_to_get_it(checkout: Checkout) -> None:
    """
    One line, with an address.
    """
    checkout.depend()
    assert "uv is missing. To install it: https://" in checkout.refuse(environ={"PATH": "/usr/bin:/bin"})


def test_what_an_archive_would_lack_is_named(checkout: Checkout) -> None:
    """
    Submodules are empty folders in it, and files of Git LFS are pointers where it is not installed.
    """
    checkout.depend()
    other = checkout.path.parent / "other"
    other.mkdir()
    git(other, "init", "--quiet")
    git(other, "commit", "--quiet", "--allow-empty", "--message=one")
    git(checkout.path, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(other), "shared")
    (checkout.path / "model.bin").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    checkout.commit()
    said = checkout.refuse().splitlines()[-2:]
    assert said == ["shared", "model.bin"]


@pytest.mark.parametrize("name", [".packages/own/main.py", "release.json"])
def test_names_that_a_release_needs_are_refused(checkout: Checkout, name: str) -> None:
    """
    A project's own files in that place would be mixed with the packages, or lost.
    """
    (checkout.path / name).parent.mkdir(parents=True, exist_ok=True)
    (checkout.path / name).touch()
    checkout.depend()
    assert f"{name.partition('/')[0]} is in the way" in checkout.refuse()


@pytest.mark.parametrize("target", [("3.13", "x86_64"), ("3.12", "aarch64")], ids="-".join)
def test_wheels_are_those_of_the_host(checkout: Checkout, target: tuple[str, str]) -> None:
    """
    For its Python, its machine and a C library no newer than Debian 12's; and what depends on these, as it is there.
    """
    python, machine = target
    for version in ("3.11", "3.12", "3.13"):
        tag = f"cp{version.replace('.', '')}"
        for libc in ("manylinux_2_36", "manylinux_2_37", "musllinux_1_2"):
            for each in ("x86_64", "aarch64"):
                index.wheel(checkout.index, "native", "1.0", f"{tag}-{tag}-{libc}_{each}", f"{version} {each} {libc}")
        index.wheel(checkout.index, f"only{tag}", "1.0")
    for name in ("onlyx86", "onlywindows"):
        index.wheel(checkout.index, name, "1.0")
    conditions = [f"onlycp3{minor}; python_version == '3.{minor}'" for minor in (11, 12, 13)]
    conditions += ["onlyx86; platform_machine == 'x86_64'", "onlywindows; sys_platform == 'win32'"]
    checkout.depend("native", *conditions)
    found = checkout.content(*target)
    modules = {name.removeprefix(".packages/") for name in found if re.fullmatch(r".packages/\w+\.py", name)}
    here = {"onlyx86.py"} if machine == "x86_64" else set()
    assert modules == {"native.py", f"onlycp{python.replace('.', '')}.py", *here}
    assert found[".packages/native.py"] == f"TEXT = '{python} {machine} manylinux_2_36'\n"


def test_what_the_index_has_changed_is_refused(checkout: Checkout) -> None:
    """
    A file under the same name is not what was locked.
    """
    index.wheel(checkout.index, "pure", "1.0")
    checkout.depend("pure")
    index.wheel(checkout.index, "pure", "1.0", text="changed")
    assert "Hash mismatch for `pure==1.0`" in checkout.refuse(
        environ={"UV_CACHE_DIR": str(checkout.path.parent / "empty")}
    )


def test_a_package_without_a_wheel_for_the_host_is_named(checkout: Checkout) -> None:
    """
    And no other version is taken in its place.
    """
    index.wheel(checkout.index, "native", "1.0", "cp313-cp313-manylinux_2_17_x86_64")
    index.wheel(checkout.index, "native", "0.9")
    checkout.depend("native==1.0")
    assert "native" in checkout.refuse("3.13", "aarch64").splitlines()[1]


def test_a_package_that_is_no_wheel_yet_gets_one(checkout: Checkout) -> None:
    """
    From git, from a path, from the workspace, and from an index that has its source only; the sources stay as committed.
    """
    (checkout.path / ".gitignore").write_text("/dist/\n")
    fromgit = index.source(checkout.path.parent / "fromgit", "fromgit", "1.0")
    git(fromgit, "init", "--quiet")
    git(fromgit, "add", "--all")
    git(fromgit, "commit", "--quiet", "--message=one")
    index.source(checkout.path / "libs" / "frompath", "frompath", "1.0")
    index.source(checkout.path / "libs" / "member", "member", "1.0")
    index.sdist(checkout.index, "fromsource", "1.0", checkout.path.parent / "scratch")
    checkout.sources = [
        f'fromgit]\ngit = "file://{fromgit}"',
        'frompath]\npath = "libs/frompath"',
        "member]\nworkspace = true",
    ]
    checkout.members = ["libs/member"]
    checkout.depend("fromgit", "frompath", "fromsource", "member")
    found = checkout.content("3.12", "aarch64")
    for name in ("fromgit", "frompath", "fromsource", "member"):
        assert {f".packages/{each}" for each in installed(name)} <= found.keys()
    assert "libs/member/backend.py" in found
    assert not [name for name in found if "left-by-the-build" in name or name.endswith((".pth", ".lock/", "/.lock"))]


def test_what_was_compiled_here_is_refused(checkout: Checkout) -> None:
    """
    For another Python or machine it cannot run; for the same, nobody knows with which C library.
    """
    version = subprocess.check_output([uv(), "python", "find"], cwd="/", env=checkout.environ, text=True).strip()
    ask = "import sys; print('%d.%d' % sys.version_info[:2])"
    here = subprocess.check_output([version, "-c", ask], text=True).strip()
    index.source(checkout.path / "libs" / "compiled", "compiled", "1.0", f"CP-CP-linux_{platform.machine()}")
    checkout.sources = ['compiled]\npath = "libs/compiled"']
    checkout.depend("compiled")
    said = checkout.refuse(here, platform.machine())
    assert "put a wheel for the host's into dist/wheels/" in said
    assert "compiled-1.0.dist-info" in said
    other = {"x86_64": "aarch64"}.get(platform.machine(), "x86_64")
    assert re.search(r"compiled-1\.0-.* is not compatible with the target", checkout.refuse(here, other))


def test_a_wheel_in_dist_comes_first(checkout: Checkout) -> None:
    """
    That of a compiled package, also under the name with an underscore; a new one under the same name is seen.
    """
    wheels = checkout.path / "dist" / "wheels"
    index.source(checkout.path / "libs" / "compiled", "own_compiled", "1.0", "CP-CP-linux_x86_64")
    index.wheel(checkout.index, "pure", "1.0", text="of the index")
    index.wheel(checkout.index, "other", "1.0", text="of the index")
    checkout.sources = ['own-compiled]\npath = "libs/compiled"']
    checkout.depend("own-compiled", "pure", "other")
    for text in ("first", "second"):
        index.wheel(wheels, "own_compiled", "1.0", "cp313-cp313-linux_x86_64", text)
        index.wheel(wheels, "pure", "1.0", text=text)
        index.wheel(wheels, "unknown", "1.0")
        found = checkout.content("3.13", "x86_64")
        texts = [found[f".packages/{name}.py"] for name in ("own_compiled", "pure", "other")]
        assert texts == [f"TEXT = '{text}'\n", f"TEXT = '{text}'\n", "TEXT = 'of the index'\n"]
        assert ".packages/unknown.py" not in found
        for path in (checkout.path / "dist").glob("*.tar.gz"):
            path.unlink()


def test_a_wheel_in_dist_has_to_be_the_one_that_was_locked(checkout: Checkout) -> None:
    """
    One of another version, or for another machine, is named.
    """
    wheels = checkout.path / "dist" / "wheels"
    index.wheel(checkout.index, "pure", "1.0")
    checkout.depend("pure")
    index.wheel(wheels, "pure", "0.9")
    assert "pure==1.0" in checkout.refuse("3.13", "x86_64")
    shutil.rmtree(wheels)
    index.wheel(wheels, "pure", "1.0", "cp313-cp313-linux_aarch64")
    assert re.search(
        r"pure==1\.0 has no wheels with a matching platform", " ".join(checkout.refuse("3.13", "x86_64").split())
    )


def test_a_package_comes_from_the_index_that_it_was_locked_from(checkout: Checkout, tmp_path: Path) -> None:
    """
    One of the same name in the other index is another package.
    """
    index.wheel(checkout.index, "special", "1.0", text="of the default index")
    index.wheel(tmp_path / "special", "special", "1.0", text="of its own")
    with index.serve(tmp_path / "special", USER, PASSWORD) as address:
        checkout.indexes = {"special": address}
        checkout.sources = ['special]\nindex = "special"']
        checkout.depend("special")
        assert checkout.content("3.13", "x86_64")[".packages/special.py"] == "TEXT = 'of its own'\n"


def test_the_password_of_an_index_stays_here(checkout: Checkout) -> None:
    """
    It is in the environment of who builds, and nowhere in the file.
    """
    index.wheel(checkout.index, "pure", "1.0")
    checkout.depend("pure")
    found = checkout.content("3.13", "x86_64")
    assert not [name for name, text in found.items() if PASSWORD in text]
    assert "401" in checkout.refuse(
        environ={"UV_INDEX_OWN_PASSWORD": "wrong", "UV_CACHE_DIR": str(checkout.path.parent / "empty")}
    )


@pytest.mark.parametrize("program", ["tar", "bsdtar"])
def test_it_is_built_by_any_tar_and_under_any_umask(checkout: Checkout, program: str, tmp_path: Path) -> None:
    """
    macOS has bsdtar. What comes out is unpacked by Debian's tar as the host does, with nothing to complain about.
    """
    if not (found := shutil.which(program)):
        pytest.skip(f"{program} is missing: scripts/install-tools installs it")
    (checkout.programs / "tar").symlink_to(found)
    index.wheel(checkout.index, "pure", "1.0")
    long = "/".join(["a-folder-with-a-rather-long-name"] * 5)
    (checkout.path / long).mkdir(parents=True)
    (checkout.path / long / "fïle.py").write_text("deep\n")
    (checkout.path / "link").symlink_to("main.py")
    checkout.depend("pure")
    path = checkout.build("3.13", "x86_64", umask=0o077).stdout.strip()
    there = tmp_path / "there"
    there.mkdir()
    unpack = ["/usr/bin/tar", "-xz", "--no-same-owner", "--no-same-permissions", "-C", str(there)]
    with open(path, "rb") as file:
        done = subprocess.run(unpack, stdin=file, capture_output=True, text=True)
    assert not done.returncode, done.stderr
    assert (there / long / "fïle.py").read_text() == "deep\n"
    assert os.readlink(there / "link") == "main.py"
    assert (there / ".packages" / "pure.py").is_file()
    assert not list(there.rglob("._*"))


def test_an_interrupt_leaves_nothing(checkout: Checkout) -> None:
    """
    Neither a file nor a folder, whatever it was doing.
    """
    checkout.depend()
    reached = checkout.path.parent / "reached"
    (checkout.programs / "uv").write_text(f"#!/bin/sh\ntouch {reached}\nexec sleep 60\n")
    (checkout.programs / "uv").chmod(0o755)
    process = subprocess.Popen(
        [checkout.path / "deploy/build"], env=checkout.environ, stderr=subprocess.DEVNULL, start_new_session=True
    )
    wait_until(reached.exists, seconds=60, what="uv was called")
    assert list(checkout.path.glob("dist/.build.*"))
    os.killpg(process.pid, signal.SIGTERM)
    assert process.wait(60)
    assert list(checkout.path.glob("dist/*")) == []
    assert list(checkout.path.glob("dist/.*")) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a checkout to somebody else")
def test_root_builds_in_the_checkout_of_another_user(checkout: Checkout) -> None:
    """
    On a host that holds its own checkout; git by itself would refuse.
    """
    checkout.depend()
    for path in (checkout.path.parent, *checkout.path.parent.rglob("*")):
        os.lchown(path, 65534, 65534)
    assert "main.py" in checkout.content("3.13", "x86_64")


@pytest.mark.parametrize("target", [("3.13", "x86_64"), ("3.12", "aarch64")], ids="-".join)
def test_a_real_service_is_built_for_other_machines(
    projects: Projects, workplace: Path, target: tuple[str, str]
) -> None:
    """
    All that it needs has wheels for Debian's Pythons, from whatever Python builds; no command names the builder's.
    """
    project = projects.render(of(targets=["vm"], database="postgresql")).sync().copy(workplace)
    git(project.path, "init", "--quiet")
    git(project.path, "add", "--all")
    git(project.path, "commit", "--quiet", "--message=start")
    found = content(Path(project.run("deploy/build", *target).stdout.splitlines()[-1]))
    version, machine = target[0].replace(".", ""), target[1]
    compiled = {name for name in found if name.endswith(".so")}
    assert {"asyncpg", "pydantic_core", "uvloop"} <= {name.split("/")[1] for name in compiled}
    others = {name for name in compiled if f"cpython-{version}-{machine}-linux-gnu" not in name and "abi3" not in name}
    assert not others
    assert not [name for name in found if name.startswith((".packages/bin/", ".packages/.lock"))]
    assert str(workplace) not in "".join(text for name, text in found.items() if name.startswith(".packages/"))


@pytest.mark.parametrize("ci", ["github", "gitlab"])
@pytest.mark.parametrize("target", ["", "3.12 aarch64"], ids=["unset", "set"])
def test_ci_builds_for_the_hosts(projects: Projects, checkout: Checkout, ci: str, target: str) -> None:
    """
    The step of the job, with its environment: for Debian 13 where nothing else is set, also with uv's cache in the checkout.
    """
    index.wheel(checkout.index, "pure", "1.0")
    checkout.depend("pure")
    project = projects.render(of(targets=["vm"], project_slug="shop", ci=ci))
    ((script, variables),) = steps(project, "build", {"DEPLOY_TARGET": target} if target else {})
    # Which one runs uv is of no interest here.
    variables.pop("UV_PYTHON", None)
    for _ in range(2):
        subprocess.run(["sh", "-ec", script], cwd=checkout.path, env=checkout.environ | variables, check=True)
        (built,) = checkout.path.glob("dist/*")
        assert built.name.endswith(f"-py{(target or '3.13 x86_64').replace(' ', '-')}.tar.gz")
        built.unlink()
