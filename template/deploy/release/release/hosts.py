"""Other machines: one after another, and what to do when one of them fails."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from release import artifact, build, project, say
from release.say import Problem
from release.service import Service
from release.ssh import Connection
from release.target import Target, parse

# These only look, so one host that fails does not keep the others from answering.
LOOKING = ("doctor", "facts", "list", "status")

# Options that have done their work here; a value follows each.
OURS = ("--host", "--artifact", "--kind")


def deploy(arguments: argparse.Namespace) -> int:
    """
    Deploy to other hosts, one after another; return the first exit code that is not 0.

    What has to be done once for all of them, the first does: the others are told that they join.
    """
    words = without(sys.argv[1:])
    with contextlib.ExitStack() as stack:
        hosts = stack.enter_context(Hosts(arguments.host))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="release-")))
        made = [artifact_for(host, hosts, arguments, folder) for host in hosts.connected]
        if arguments.dry_run:
            say.line(f"      would: deploy it to {', '.join(hosts.names)}")
            return 0
        for number, (host, path) in enumerate(zip(hosts.connected, made)):
            hosts.introduce(host)
            there = host.send(path)
            joining = ["--joining"] if number else []
            code = host.run([*words, "--artifact", there, *joining])
            if code:
                hosts.left_out(number)
                hosts.tell_releases()
                return code
    return 0


def artifact_for(
    host: Connection, hosts: Hosts, arguments: argparse.Namespace, folder: Path
) -> Path:
    """Return what a host is to get: the artifact that was named, or one that is built for it."""
    target = read_target(host)
    if arguments.artifact:
        artifact.read_manifest(arguments.artifact)  # Refused here, before it is copied.
        return Path(arguments.artifact)
    if target not in hosts.made:
        hosts.made[target] = build.build(
            hosts.root, hosts.slug, target, arguments.kind, folder, arguments.dry_run
        )
    return hosts.made[target]


class Hosts:
    """The hosts of one command: all are connected before anything is done to the first."""

    def __init__(self, names: Sequence[str]) -> None:
        """`names` are what ssh takes; the same one twice is one."""
        self.root = project.root()
        self.slug = Service.load().slug
        self.names = list(dict.fromkeys(names))
        self.connected: list[Connection] = []
        self.made: dict[Target, Path] = {}

    def __enter__(self) -> Hosts:
        try:
            for name in self.names:
                self.connected.append(Connection(name, self.slug))
                self.connected[-1].connect(self.root)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for host in self.connected:
            with contextlib.suppress(OSError):
                host.close()

    def each(self, words: Sequence[str], given: bytes | None = None, terminal: bool = False) -> int:
        """Run one verb on all of them; stop at the first failure, unless the verb only looks."""
        worst = 0
        for number, host in enumerate(self.connected):
            self.introduce(host)
            code = host.run(words, given, terminal)
            worst = worst or code
            if code and verb_of(words) not in LOOKING:
                self.left_out(number)
                break
        return worst

    def introduce(self, host: Connection) -> None:
        """Say which host the next lines are about, where there are several."""
        if len(self.connected) > 1:
            say.line(f"== {host.name}")

    def left_out(self, failed: int) -> None:
        """Name the hosts that were not reached because one failed."""
        rest = [host.name for host in self.connected[failed + 1 :]]
        if rest:
            say.line(f"stopped at {self.connected[failed].name}; untouched: {', '.join(rest)}")

    def tell_releases(self) -> None:
        """Say which host is on what release, after a deploy that ended half way."""
        if len(self.connected) < 2:
            return
        for host in self.connected:
            try:
                release = json.loads(host.ask(["facts"]))["release"] or "no release"
            except (Problem, ValueError):
                release = "unknown"
            say.line(f"{host.name}: {release}")


def read_target(host: Connection) -> Target:
    """Ask a host what to build for; refuse one that was not set up."""
    facts = json.loads(host.ask(["facts"]))
    if not facts["installed"]:
        raise Problem(f"{host.name} is not set up; to do so: make setup HOST={host.name}")
    return parse(facts["target"])


def verb_of(words: Sequence[str]) -> str:
    """Find the verb of a command line."""
    return next(word for word in words if not word.startswith("-"))


def without(argv: Sequence[str], options: Sequence[str] = OURS) -> list[str]:
    """Leave options out of a command line; what follows `--` belongs to another command."""
    kept: list[str] = []
    words = iter(argv)
    for word in words:
        if word == "--":
            return [*kept, word, *words]
        name, equals, _ = word.partition("=")
        if name not in options:
            kept.append(word)
        elif not equals:
            next(words, None)
    return kept
