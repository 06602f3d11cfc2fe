"""Static files: those of all releases that are kept, in one place that outlives each of them."""

from __future__ import annotations

import filecmp
from collections.abc import Iterable, Iterator
from pathlib import Path

from release.machine import Machine


def merge(machine: Machine, release: Path) -> None:
    """
    Add the files of a release to what the proxy serves.

    A page that was loaded before a deploy asks for its files after it, so nothing is taken away
    here. Each file appears whole; of two with one name the newer release wins.
    """
    source = release / "static"
    for path in files(source):
        target = machine.paths.static / path
        if target.is_file() and filecmp.cmp(source / path, target, shallow=False):
            continue
        make_way(machine, target)
        machine.shell.write(target, (source / path).read_bytes())


def make_way(machine: Machine, target: Path) -> None:
    """Remove what is in the way: a name may have been a directory and be a file now, or back."""
    for parent in target.parents:
        if parent == machine.paths.static:
            break
        if parent.is_symlink() or parent.is_file():
            machine.shell.remove(parent)
    if target.is_symlink() or target.is_dir():
        machine.shell.remove(target)


def prune(machine: Machine, releases: Iterable[Path]) -> None:
    """Remove the files that none of the releases has."""
    wanted = {path for release in releases for path in files(release / "static")}
    for path in set(files(machine.paths.static)) - wanted:
        machine.shell.remove(machine.paths.static / path)
    folders = (path for path in machine.paths.static.rglob("*") if path.is_dir())
    for folder in sorted(folders, reverse=True):
        if not any(folder.iterdir()):
            machine.shell.remove(folder)


def files(directory: Path) -> Iterator[Path]:
    """Yield the files in a directory, as paths within it."""
    for path in directory.rglob("*"):
        if path.is_file() and not path.is_symlink():
            yield path.relative_to(directory)
