"""
What is shipped: one `.tar.gz` of a commit and of what it needs.

    manifest.json      first, so that a host can refuse it before it unpacks the rest
    tree/              the files of the commit
    requirements.txt   everything it needs, with hashes
    wheels/            kind wheels: those packages, and pip itself; kind source: pip only
    venv/              kind venv: `site-packages/` and `bin/` of a virtual environment
"""

from __future__ import annotations

import dataclasses
import io
import json
import os
import re
import tarfile
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from release import say

FORMAT = 1
MANIFEST = "manifest.json"
KINDS = ("wheels", "venv", "source")
RELEASE = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{7}")


@dataclass(frozen=True)
class Manifest:
    """What an artifact says of itself."""

    slug: str
    release: str
    """Its name: the time it was built, and the beginning of the commit."""
    commit: str
    kind: str
    python: str
    """Major and minor version of the interpreter it was built for: `3.13`."""
    machine: str
    libc: str
    """For example `glibc 2.36`: the oldest it runs with."""
    created: str
    requirements: str
    """The SHA-256 of requirements.txt."""
    format: int = FORMAT

    def to_json(self) -> str:
        """Write it as the artifact holds it."""
        return json.dumps(dataclasses.asdict(self), indent=2) + "\n"

    @classmethod
    def parse(cls, text: str | bytes) -> Manifest:
        """Read it, or raise a Problem that says what is wrong with it."""
        try:
            values = json.loads(text)
            found = values.get("format")
            if found != FORMAT:
                raise say.Problem(
                    f"the artifact has format {found}, this tool knows {FORMAT}: "
                    "use the tool of the project it was built from"
                )
            known = {entry.name for entry in dataclasses.fields(cls)}
            manifest = cls(**{name: value for name, value in values.items() if name in known})
            told = {name: value for name, value in vars(manifest).items() if name != "format"}
            if wrong := [name for name, value in told.items() if not isinstance(value, str)]:
                raise TypeError(f"{', '.join(wrong)}: no text")
        except (ValueError, TypeError, AttributeError) as error:
            raise say.Problem(f"the artifact's {MANIFEST} cannot be read: {error}") from None
        if manifest.kind not in KINDS or not RELEASE.fullmatch(manifest.release):
            raise say.Problem(f"the artifact's {MANIFEST} makes no sense; build it again")
        return manifest


def release_name(commit: str, now: datetime | None = None) -> str:
    """Return the name of a release that is built now; names sort by time."""
    now = now or datetime.now(timezone.utc)
    return f"{now:%Y%m%dT%H%M%SZ}-{commit[:7]}"


def write(path: Path, manifest: Manifest, contents: Path) -> None:
    """Pack a directory that has everything but the manifest."""
    partial = path.with_name(f"{path.name}.partial")
    with tarfile.open(partial, "w:gz", compresslevel=6) as archive:
        data = manifest.to_json().encode()
        entry = tarfile.TarInfo(MANIFEST)
        entry.size = len(data)
        archive.addfile(entry, io.BytesIO(data))
        for child in sorted(contents.iterdir()):
            archive.add(child, arcname=child.name, filter=_anonymous)
    partial.replace(path)


def read_manifest(path: Path) -> Manifest:
    """Read the manifest of an artifact; a Problem names what is not one."""
    try:
        with tarfile.open(path, "r:gz") as archive:
            first = archive.next()
            file = archive.extractfile(first) if first and _is_manifest(first) else None
            if file is None:
                raise say.Problem(f"{path} is not an artifact of this tool")
            return Manifest.parse(file.read())
    except FileNotFoundError:
        raise say.Problem(f"{path} does not exist") from None
    except (tarfile.TarError, EOFError, OSError) as error:
        raise say.Problem(f"{path} cannot be read ({error}); build or copy it again") from None


def unpack(path: Path, directory: Path) -> None:
    """
    Unpack an artifact into an empty directory, owned by whoever calls.

    What would lie outside, and what is neither a file, a directory nor a link within, is refused.
    """
    try:
        with tarfile.open(path, "r:gz") as archive:
            # Newer versions of Python ask who decides what is extracted: the lines below.
            archive.extraction_filter = getattr(tarfile, "fully_trusted_filter", None)
            for entry in archive:
                _refuse_foreign(entry, os.path.realpath(directory))
                entry.uid = entry.gid = 0
                entry.uname = entry.gname = ""
                # Readable by the service, writable by root only.
                entry.mode = 0o755 if entry.isdir() or entry.mode & 0o100 else 0o644
                archive.extract(entry, directory)
    except (tarfile.TarError, EOFError) as error:
        raise say.Problem(f"{path} is damaged ({error}); build or copy it again") from None


def _is_manifest(entry: tarfile.TarInfo) -> bool:
    return entry.name == MANIFEST and entry.isfile()


def _refuse_foreign(entry: tarfile.TarInfo, root: str) -> None:
    if not (entry.isfile() or entry.isdir() or entry.issym() or entry.islnk()):
        raise say.Problem(f"the artifact holds {entry.name}, which is neither file nor directory")
    # Links that were unpacked before count: two of them may lead where neither does alone.
    here = os.path.realpath(os.path.join(root, os.path.dirname(entry.name)))
    ends = [here, os.path.realpath(os.path.join(root, entry.name))]
    if entry.issym():
        ends.append(os.path.realpath(os.path.join(here, entry.linkname)))
    if entry.islnk():
        ends.append(os.path.realpath(os.path.join(root, entry.linkname)))
    if any(end != root and not end.startswith(f"{root}{os.sep}") for end in ends):
        raise say.Problem(f"the artifact holds {entry.name}, which leads out of it")


def _anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry
