"""Install a release and switch to it."""

from __future__ import annotations

import argparse
from pathlib import Path

from release import (
    artifact,
    before,
    deploy,
    doctor,
    install,
    lock,
    prune,
    recover,
    runs,
    say,
    toolbox,
)
from release.before import Change
from release.doctor import drift
from release.machine import Machine

HELP = "install a release and switch to it without losing a request"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--artifact", type=Path, metavar="FILE", help="what `build` has made")
    parser.add_argument(
        "--kind",
        choices=artifact.KINDS,
        default="wheels",
        help="what to build when no artifact is given (default: wheels)",
    )
    parser.add_argument(
        "--keep",
        type=int,
        default=prune.KEEP,
        metavar="N",
        help=f"how many other releases to keep (default: {prune.KEEP})",
    )
    parser.add_argument(
        "--joining",
        action="store_true",
        help="another host was deployed to before this one: leave out what is done once for all",
    )
    for part in before.parts():
        part.arguments(parser, back=False)


def run(arguments: argparse.Namespace) -> int:
    """Deploy on this machine."""
    machine = Machine.of(arguments)
    machine.require_root()
    path = arguments.artifact or built(machine, arguments)
    if machine.shell.dry and not path.exists():
        machine.shell.would(f"deploy {path}; to see how, build it first")
        return 0
    with lock.hold(machine.paths.lock, "deploy", machine.shell):
        recover.recover(machine)
        manifest = artifact.read_manifest(path)
        install.check(machine, manifest)
        old = runs.current(machine)
        known = {release.name for release in prune.releases(machine)}
        steps = deploy.steps(machine, 2, prepare=not arguments.joining)
        try:
            with steps.step(f"install release {manifest.release}"):
                release = install.install(machine, path, manifest)
            with steps.step("compare it with the one that runs"):
                running = runs.release_of(machine, old) if old else None
                for part in before.parts():
                    part.check(machine, Change(release, running), arguments)
            prepare = not arguments.joining
            deploy.change(machine, release, arguments, steps, prepare=prepare, keep=arguments.keep)
        except BaseException:
            # A release that never served is not one to go back to.
            current = runs.current(machine)
            known.add(current.release if current else "")
            if manifest.release not in known:
                machine.shell.remove(machine.paths.releases / manifest.release)
            raise
        toolbox.install(machine, release / "deploy" / "release")
    say.done(f"{manifest.release} serves", machine.shell.dry)
    for finding in drift.check(machine):
        if finding.level != doctor.OK:
            say.warn(f"{finding.text}; {finding.advice}")
    return 0


def built(machine: Machine, arguments: argparse.Namespace) -> Path:
    """Build an artifact of this checkout for this machine."""
    from release import build

    return build.for_here(machine, arguments)


def remote(arguments: argparse.Namespace) -> int:
    """Deploy on other hosts, one after the other."""
    from release import hosts

    return hosts.deploy(arguments)
