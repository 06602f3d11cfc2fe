"""
The files that a release may have, and root's handling of them.
"""

from __future__ import annotations

import os
import platform
import re
import tarfile
from collections.abc import Mapping
from pathlib import Path

from tests.vm import archives
from tests.vm.archives import Entry, entry
from tests.vm.host import Host
from tests.vm.hosts import on, target_of
from tests.vm.leftovers import leftovers
from tests.vm.operator import Release

NAME = "29991231T235959Z-0123456"
#: What leads out of a release → the entries, and what the person who deploys is told.
OUTSIDE: Mapping[str, tuple[list[Entry], str]] = {
    "a name with ..": ([entry("../escaped", text="x")], "`../'"),
    "an absolute name": ([entry("/root/escaped", text="x"), entry("link", tarfile.SYMTYPE, "/")], "link leads out"),
    "an absolute link": ([entry("./link", tarfile.SYMTYPE, "/root/canary")], "link leads out"),
    "a link to the folder above": ([entry("./link", tarfile.SYMTYPE, "../../runs")], "link leads out"),
    "a link through another link": (
        [
            entry("./a", tarfile.DIRTYPE, mode=0o755),
            entry("./a/b", tarfile.DIRTYPE, mode=0o755),
            entry("./up", tarfile.SYMTYPE, "a/b"),
            # In the place where its name is, it would be inside.
            entry("./a/link", tarfile.SYMTYPE, "../up/../../.."),
        ],
        "a/link leads out",
    ),
    "a file through a link": (
        [entry("./link", tarfile.SYMTYPE, "/root"), entry("./link/canary", text="written through")],
        "link",
    ),
    "a second name of a file outside": ([entry("./shadow", tarfile.LNKTYPE, "/root/canary")], "hard link"),
    "a second name by ..": ([entry("./shadow", tarfile.LNKTYPE, "../../../../root/canary")], "hard link"),
    "a device": ([entry("./disk", tarfile.BLKTYPE)], "disk"),
    "a character device": ([entry("./null", tarfile.CHRTYPE)], "null"),
    "a pipe": ([entry("./pipe", tarfile.FIFOTYPE)], "pipe leads out of the release, or is no file"),
}


@on("trixie")
def test_an_archive_that_reaches_out_of_itself_is_refused(host: Host, tmp_path: Path) -> None:
    """
    Names with `..`, links out of it, devices and pipes: nothing outside is read, written or given other permissions, and
    nothing is left of it.
    """
    canary = host.machine / "root/canary"
    canary.write_text("as it was")
    canary.chmod(0o600)
    run, before = host.run, leftovers(host)
    try:
        for what, (entries, said) in OUTSIDE.items():
            done = host.deploy(archives.archive(tmp_path, NAME, facts(host), *entries), check=False)
            assert done.returncode == 1, what
            assert said in done.stdout, f"{what}: {done.stdout}"
            assert "Traceback" not in done.stdout, f"{what}: {done.stdout}"
            assert canary.read_text() == "as it was", what
            assert canary.stat().st_mode & 0o777 == 0o600, what
            assert leftovers(host) == before, what
        assert host.run == run
    finally:
        canary.unlink()


@on("trixie")
def test_a_release_for_something_else_is_refused(host: Host, tmp_path: Path) -> None:
    """
    For another service, under another name, for another Python or machine, or no release at all: told in one line.
    """
    python, machine = target_of(host.machine)
    own = facts(host)
    cases: list[tuple[Mapping[str, str] | None, str]] = [
        ({**own, "slug": "other"}, f"this is release {NAME} of other, not {NAME} of {host.slug}"),
        ({**own, "name": NAME.replace("2999", "2998")}, "this is release 2998"),
        ({**own, "python": "3.99"}, f"built for Python 3.99 on {machine}; this host: has no such Python"),
        ({**own, "python": "3"}, f"built for Python 3 on {machine}"),
        ({**own, "python": "3.13/../../../root/canary"}, "built for Python 3.13/"),
        ({**own, "machine": "sparc64"}, f"built for Python {python} on sparc64; this host: {machine}"),
        ({"name": NAME}, "this is no release; deploy/build makes one"),
        (None, "this is no release; deploy/build makes one"),
    ]
    run, before = host.run, leftovers(host)
    for given, said in cases:
        done = host.deploy(archives.archive(tmp_path, NAME, given, entry("./app.py", text="x")), check=False)
        assert done.returncode == 1, given
        assert said in done.stdout, done.stdout
        assert "Traceback" not in done.stdout, done.stdout
    (tmp_path / "text").write_text("no archive\n")
    assert "not in gzip format" in host.deploy(Release(NAME, tmp_path / "text"), check=False).stdout
    assert leftovers(host) == before
    assert host.run == run


@on("trixie")
def test_a_python_that_the_unit_hides_is_refused(host: Host, tmp_path: Path) -> None:
    """
    A Python in somebody's home, linked into the path, would end with 203/EXEC; also when the link has another link before it.
    """
    link, other = host.machine / "usr/local/bin/python3.99", host.machine / "usr/local/bin/python-of-root"
    host.machine.run("install", "-D", "-m", "755", "/bin/true", "/root/.local/python/bin/python3.99")
    try:
        other.symlink_to("/root/.local/python/bin/python3.99")
        link.symlink_to("python-of-root")
        given = {**facts(host), "python": "3.99"}
        done = host.deploy(archives.archive(tmp_path, NAME, given, entry("./app.py", text="x")), check=False)
        assert done.returncode == 1
        assert "/root/.local/python/bin/python3.99 is hidden by the unit" in done.stdout, done.stdout
    finally:
        host.machine.run("rm", "-rf", "/root/.local", "/usr/local/bin/python3.99", "/usr/local/bin/python-of-root")


#: Python that says who has executed it, and from which file.
TRACE = """
import os
if os.getuid():
    os.makedirs("/var/lib/{slug}/executed", exist_ok=True)
    open("/var/lib/{slug}/executed/{name}", "w").close()
else:
    open("/root/executed-{name}", "w").close()
"""


@on("trixie")
def test_root_executes_nothing_of_a_release(host: Host) -> None:
    """
    Files that Python finds and executes by itself are executed as the service, and never as root: not while a release is unpacked
    and compiled, nor when root stands in it, with the service's PYTHONPATH, and asks.
    """
    trace = TRACE.replace("{slug}", host.slug)
    # Not those that the service itself needs, such as argparse.
    names = ("sitecustomize", "usercustomize", "conftest", "compileall", "venv")
    edits = {f"{name}.py": trace.replace("{name}", name) for name in names}
    line = trace.replace("{name}", "package").strip()
    edits[".packages/trace.pth"] = f"import os; exec({line!r})\n"
    for name in ("python3", "tar", "chmod", "find"):
        edits[name] = f"#!/bin/sh\ntouch /root/executed-{name}\n"
    try:
        folder = f"/opt/{host.slug}/releases/{host.deploy_edited(edits)}"
        after = host.operator.edited({})
        for words, given in ((("status",), None), (("secret", "NOTHING"), "x"), (("deploy", after.name), after.file)):
            environment = {"PYTHONPATH": folder}
            host.machine.run(host.program, *words, folder=folder, environment=environment, input=given, timeout=180)
        executed = host.machine.run("find", "/root", "-maxdepth", "1", "-name", "executed*").stdout.split()
        assert not executed, executed
        # It is executed, though: by the service.
        assert (host.machine / f"var/lib/{host.slug}/executed/package").exists()
    finally:
        host.machine.run("sh", "-c", f"rm -rf /root/executed* /var/lib/{host.slug}/executed")
        host.machine.run("rm", "-f", f"/etc/{host.slug}/credentials/NOTHING")


@on("trixie")
def test_the_umask_of_who_built_it_does_not_matter(host: Host) -> None:
    """
    Built by somebody whose files nobody else may read, it can be read by the service, and written by root alone. Its Python
    is called by its full name: the one without a version is another one after the next upgrade of the system.
    """
    python, machine = target_of(host.machine)
    project, name = host.operator.project, host.operator.edited({}).name
    build = f"umask 077 && RELEASE_NAME={name} exec deploy/build {python} {machine}"
    file = Path(project.run("sh", "-c", build).stdout.splitlines()[-1])
    try:
        with tarfile.open(file) as archive:
            assert archive.getmember("./.packages").mode == 0o700, "it was built otherwise"
        host.deploy(Release(name, file))
    finally:
        file.unlink()
    folder = f"/opt/{host.slug}/releases/{name}"
    out = host.machine.run("find", folder, "!", "-type", "l", "!", "-perm", "644", "!", "-perm", "755", "-print").stdout
    assert not out
    assert not host.machine.run("find", folder, "!", "-user", "root", "-print").stdout
    interpreter = host.machine / f"{folder}/.venv/bin/python"
    seen = []
    while interpreter.is_symlink():
        target = os.readlink(interpreter)
        interpreter = host.machine / target if target.startswith("/") else interpreter.parent / target
        seen.append(target)
    assert f"/usr/bin/python{python}" in seen, seen
    assert "/usr/bin/python3" not in seen, seen
    assert host.current == name
    assert host.ready_status() == 200


def facts(host: Host) -> dict[str, str]:
    """
    The facts of a release that would be accepted.
    """
    python, machine = target_of(host.machine)
    assert machine == platform.machine()
    assert re.fullmatch(r"3\.\d+", python)
    return {"name": NAME, "slug": host.slug, "python": python, "machine": machine}
