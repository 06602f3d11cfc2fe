"""From a commit to one file that a host can install without asking an index."""

from __future__ import annotations

import argparse
import hashlib
import tempfile
from datetime import datetime, timezone
from pathlib import Path

from release import artifact, environments, say, wheels
from release.artifact import Manifest
from release.git import Checkout
from release.machine import Machine
from release.project import root
from release.target import Target, ask


def build(
    project: Path, slug: str, target: Target, kind: str, folder: Path, dry: bool = False
) -> Path:
    """Make an artifact of what is committed, and return where it is."""
    checkout = Checkout(project)
    checkout.check()
    commit = checkout.head()
    now = datetime.now(timezone.utc)
    path = folder / f"{slug}-{artifact.release_name(commit, now)}-{target}-{kind}.tar.gz"
    steps = say.Steps(3)
    if dry:
        say.line(f"      would: build {path.name}: the commit {commit[:7]} with its packages")
        return path
    folder.mkdir(parents=True, exist_ok=True)
    # Beside the result: a temporary directory in memory may be too small for what is packed.
    with tempfile.TemporaryDirectory(prefix=".build-", dir=folder) as name:
        contents = Path(name) / "contents"
        contents.mkdir()
        with steps.step(f"export commit {commit[:7]}"):
            checkout.export(contents / "tree")
            requirements = wheels.locked(contents / "tree", target, strict=kind != "venv")
        with steps.step(f"collect {len(requirements.lines)} packages for {target}"):
            (contents / "requirements.txt").write_text(requirements.text)
            if kind == "wheels":
                wheels.download(requirements, target, contents / "wheels")
            elif kind == "venv":
                environments.make(contents / "tree", target, contents / "venv", Path(name))
            else:
                wheels.pip(requirements, contents / "wheels")
        with steps.step(f"pack {path.name}"):
            artifact.write(path, manifest(slug, commit, kind, target, now, requirements), contents)
    return path


def for_here(machine: Machine, arguments: argparse.Namespace) -> Path:
    """Make an artifact for the interpreter of this host, where the project lies on it."""
    project = root()
    return build(
        project,
        machine.slug,
        ask(machine.host.python),
        arguments.kind,
        project / "dist",
        machine.shell.dry,
    )


def manifest(
    slug: str,
    commit: str,
    kind: str,
    target: Target,
    now: datetime,
    requirements: wheels.Requirements,
) -> Manifest:
    """Say what an artifact is."""
    return Manifest(
        slug=slug,
        release=artifact.release_name(commit, now),
        commit=commit,
        kind=kind,
        python=target.python,
        machine=target.machine,
        libc=target.libc,
        created=now.isoformat(timespec="seconds"),
        requirements=hashlib.sha256(requirements.text.encode()).hexdigest(),
    )
