"""Everything the tool changes on a machine goes through here, so that a dry run changes nothing."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from release import say

# While a release is installed another one serves, and has the processors first: a tenth is left to
# the installation. Priorities do not reach across systemd's groups, weights do.
CALM = "systemd-run --scope --quiet --collect --property=CPUWeight=10 --property=IOWeight=10"
CALM += " nice -n 10"

Result = subprocess.CompletedProcess[str]


class Shell:
    """Runs commands and writes files; in a dry run it prints what it would do instead."""

    def __init__(self, dry: bool = False) -> None:
        """See the class."""
        self.dry = dry

    def ask(
        self,
        argv: Sequence[str],
        *,
        stdin: str | None = None,
        cwd: Path | None = None,
        user: str | None = None,
    ) -> Result:
        """Run a command that changes nothing, in a dry run too. Its exit code is not judged."""
        return _run(argv, stdin=stdin, cwd=cwd, user=user)

    def run(
        self,
        argv: Sequence[str],
        *,
        stdin: str | None = None,
        check: bool = True,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        calm: bool = False,
    ) -> Result:
        """
        Run a command that changes something; a failing one is a Problem unless `check=False`.

        `calm` is for long work: it gives way to whatever serves.
        """
        if calm and not self.dry:
            argv = [*CALM.split(), *argv]
        if self.dry:
            self.would(f"$ {shlex.join(argv)}")
            return subprocess.CompletedProcess(list(argv), 0, "", "")
        result = _run(argv, stdin=stdin, cwd=cwd, env=env)
        if check and result.returncode:
            output = "\n".join((result.stdout + result.stderr).strip().splitlines()[-40:])
            raise say.Problem(f"{shlex.join(argv)} failed ({result.returncode})", output)
        return result

    def would(self, text: str) -> None:
        """Print what a dry run leaves out."""
        say.line(f"      would: {text}")

    def write(
        self, path: Path, content: str | bytes, mode: int = 0o644, group: str | None = None
    ) -> bool:
        """Write a file, whole or not at all; return whether that changed anything."""
        data = content.encode() if isinstance(content, str) else content
        if _is(path, data, mode):
            return False
        if self.dry:
            self.would(f"write {path}")
            return True
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                # It is nobody's to read before it has its owner and mode (mkstemp makes it 0600).
                if group is not None:
                    shutil.chown(name, group=group)
                os.fchmod(file.fileno(), mode)
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(name)
            raise
        return True

    def directory(self, path: Path, mode: int = 0o755, group: str | None = None) -> None:
        """Make a directory, or give the one that is there its mode."""
        if self.dry:
            if not path.is_dir():
                self.would(f"make {path}/")
            return
        path.mkdir(parents=True, exist_ok=True)
        if group is not None:
            shutil.chown(path, group=group)
        path.chmod(mode)

    def link(self, path: Path, target: str) -> None:
        """Make or replace a symbolic link, at once."""
        if self.dry:
            self.would(f"link {path} to {target}")
            return
        new = path.with_name(f".{path.name}.new")
        new.unlink(missing_ok=True)
        new.symlink_to(target)
        new.replace(path)

    def rename(self, path: Path, new: Path) -> None:
        """Rename a file or a directory."""
        if self.dry:
            self.would(f"rename {path} to {new.name}")
            return
        path.rename(new)

    def remove(self, path: Path) -> None:
        """Remove a file, a link or a directory with all that is in it, if it is there."""
        if not (path.exists() or path.is_symlink()):
            return
        if self.dry:
            self.would(f"remove {path}")
        elif path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _is(path: Path, data: bytes, mode: int) -> bool:
    try:
        return path.read_bytes() == data and path.stat().st_mode & 0o7777 == mode
    except OSError:
        return False


def _run(
    argv: Sequence[str],
    *,
    stdin: str | None = None,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    user: str | None = None,
) -> Result:
    if user is not None:
        argv = ["runuser", "-u", user, "--", *argv]
    try:
        return subprocess.run(
            argv,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            errors="replace",
            cwd=cwd,
            env=None if env is None else {**os.environ, **env},
            check=False,
        )
    except FileNotFoundError:
        return subprocess.CompletedProcess(list(argv), 127, "", f"{argv[0]}: not found")
    except PermissionError as error:
        return subprocess.CompletedProcess(list(argv), 126, "", str(error))
