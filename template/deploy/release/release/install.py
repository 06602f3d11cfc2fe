"""From an artifact to a release: unpacked, with an environment of its own; whole, or absent."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from release import artifact, target
from release.artifact import MANIFEST, Manifest
from release.machine import Machine
from release.say import Problem

PARTIAL = ".partial"


def check(machine: Machine, manifest: Manifest) -> None:
    """Raise a Problem when a release does not fit this host, naming what does not."""
    if manifest.slug != machine.slug:
        raise Problem(f"this is a release of {manifest.slug}, not of {machine.slug}")
    python = machine.host.python
    if not python:
        raise Problem("no Python was chosen for the service; run setup first")
    host = target.ask(python)
    if manifest.kind == "source":
        return
    wrong = ""
    if manifest.python != host.python:
        wrong = f"Python {manifest.python}, and {python} is {host.python}"
    elif manifest.machine != host.machine:
        wrong = f"{manifest.machine}, and this machine is {host.machine}"
    elif not _runs_with(manifest.libc, host.libc):
        wrong = f"{manifest.libc}, and this host has {host.libc}"
    if wrong:
        raise Problem(f"the artifact was built for {wrong}; build it with --for {host}")


def _runs_with(built: str, found: str) -> bool:
    """Tell whether what was built against one C library runs with another: a newer one will do."""
    (family, _, wanted), (other, _, has) = built.partition(" "), found.partition(" ")
    return family == other and _numbers(wanted) <= _numbers(has)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))


def install(machine: Machine, path: Path, manifest: Manifest) -> Path:
    """Install an artifact; return the directory of the release."""
    shell, final = machine.shell, machine.paths.releases / manifest.release
    partial = final.with_name(f"{final.name}{PARTIAL}")
    if is_whole(final):
        return final
    if shell.dry:
        shell.would(f"unpack {path} and install what it needs into {final}")
        return final
    shell.remove(partial)
    shell.remove(final)
    shell.directory(machine.paths.releases)
    try:
        partial.mkdir()
        artifact.unpack(path, partial)
        tree = partial / "tree"
        if (tree / MANIFEST).exists():
            raise Problem(f"{MANIFEST} in the root of the project is in the way; move it")
        environment(machine, partial, manifest, final / ".venv")
        # The service cannot write there, and would compile everything anew at each start. What does
        # not compile is not imported either.
        # By the host's own interpreter, and isolated: root runs no code of the release, nor any
        # that lies where the command was called.
        compiler = [os.path.realpath(machine.host.python), "-I", "-m", "compileall", "-q"]
        shell.run([*compiler, "-j", "0", str(tree)], check=False, calm=True)
        shell.write(tree / MANIFEST, manifest.to_json())
        # What power failure leaves has to be whole too.
        os.sync()
        tree.rename(final)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return final


def is_whole(release: Path) -> bool:
    """Tell whether a release was installed to its end."""
    return release.suffix != PARTIAL and (release / MANIFEST).is_file()


def environment(machine: Machine, unpacked: Path, manifest: Manifest, final: Path) -> None:
    """Make the virtual environment of a release, which is going to lie at `final`."""
    venv, run = unpacked / "tree" / ".venv", machine.shell.run
    # By its full name: after an upgrade of the system python3 is another one.
    base = os.path.realpath(machine.host.python)
    run([base, "-I", "-m", "venv", "--without-pip", str(venv)], calm=True)
    python = str(venv / "bin" / "python")
    if manifest.kind == "venv":
        (site,) = venv.glob("lib/python*/site-packages")
        shipped = unpacked / "venv"
        shutil.copytree(shipped / "site-packages", site, symlinks=True, dirs_exist_ok=True)
        for script in sorted((shipped / "bin").glob("*")):
            if not (venv / "bin" / script.name).exists():
                shutil.copy2(script, venv / "bin" / script.name)
    else:
        wheels = unpacked / "wheels"
        pips = sorted(wheels.glob("pip-*.whl"))
        if not pips:
            raise Problem("the artifact holds no pip; build it again")
        offline = ["--no-index", "--find-links", str(wheels)] if manifest.kind == "wheels" else []
        # A wheel is also an archive that Python can run from: no pip is installed anywhere.
        pip = [python, "-I", str(pips[-1] / "pip"), "install", "--isolated", "--no-input"]
        quiet = ["--quiet", "--no-cache-dir", "--disable-pip-version-check", "--no-compile"]
        asked = ["--no-deps", "--require-hashes", "-r", str(unpacked / "requirements.txt")]
        # What it unpacks on the way goes with everything else, should it be interrupted.
        run([*pip, *quiet, *offline, *asked], env={"TMPDIR": str(unpacked)}, calm=True)
    relocate(venv, final)


def relocate(venv: Path, final: Path) -> None:
    """Have the scripts of an environment name the interpreter that it will have."""
    for script in (venv / "bin").iterdir():
        if script.is_symlink() or not script.is_file():
            continue
        content = script.read_bytes()
        new = re.sub(rb"\A#![^\n]*/python[0-9.]*[^\n]*\n", _shebang(final), content, count=1)
        new = new.replace(os.fsencode(venv), os.fsencode(final))
        if new != content:
            script.write_bytes(new)
    settings = venv / "pyvenv.cfg"
    settings.write_text(settings.read_text().replace(str(venv), str(final)))


def _shebang(final: Path) -> bytes:
    return b"#!" + os.fsencode(final / "bin" / "python") + b"\n"


def interpreter(release: Path) -> Path:
    """Return the interpreter of a release; a Problem when it is gone."""
    python = release / ".venv" / "bin" / "python"
    if not os.access(python, os.X_OK):
        gone = os.path.realpath(python)
        raise Problem(f"{release.name} was installed for {gone}, which is gone; deploy it anew")
    return python
