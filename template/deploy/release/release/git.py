"""What is deployed is what is committed: the head of the project's repository, and nothing else."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from release.say import Problem

# The names of so many uncommitted files are said.
NAMED = 8


@dataclass(frozen=True)
class Checkout:
    """The project in its repository; the project may be a folder of a larger one."""

    root: Path

    @property
    def command(self) -> list[str]:
        """Name git, in the project; root may use somebody else's repository."""
        return ["git", "-c", "safe.directory=*", "-C", str(self.root)]

    def git(self, *words: str) -> str:
        """Run git in the project."""
        done = subprocess.run([*self.command, *words], capture_output=True, text=True, check=False)
        if done.returncode:
            raise Problem(f"git {words[0]} failed: {done.stderr.strip()}")
        return done.stdout

    def check(self) -> None:
        """Refuse what is not in a repository, has no commit, or has uncommitted changes."""
        if not shutil.which("git"):
            raise Problem("git is missing; a release is made of what is committed")
        inside = subprocess.run(
            [*self.command, "rev-parse", "--verify", "-q", "HEAD"],
            capture_output=True,
            check=False,
        )
        if inside.returncode:
            raise Problem(
                f"nothing is committed in {self.root}; "
                'to commit: git init && git add -A && git commit -m "Start"'
            )
        changed = [line[3:] for line in self.git("status", "--porcelain", "--", ".").splitlines()]
        if changed:
            more = f" and {len(changed) - NAMED} more" if len(changed) > NAMED else ""
            raise Problem(
                f"uncommitted changes: {', '.join(changed[:NAMED])}{more}; "
                "a release is made of what is committed: git add and git commit them, or git stash"
            )
        if not self.git("ls-files", "--", "uv.lock").strip():
            raise Problem("uv.lock is not committed; to do so: uv lock && git add uv.lock")

    def head(self) -> str:
        """Return the full id of the commit."""
        return self.git("rev-parse", "HEAD").strip()

    def export(self, destination: Path) -> None:
        """Write the committed files of the project to a folder."""
        destination.mkdir(parents=True)
        with subprocess.Popen(
            [*self.command, "archive", "--format=tar", "HEAD"],
            stdout=subprocess.PIPE,
        ) as archive:
            unpacked = subprocess.run(
                ["tar", "-x", "-C", str(destination)], stdin=archive.stdout, check=False
            )
        if archive.returncode or unpacked.returncode:
            raise Problem("git archive failed")
