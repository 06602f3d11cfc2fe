"""The tool in one file, `/opt/<slug>/release.pyz`, for whoever is logged in on the host."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

from release.machine import Machine
from release.service import HERE

SHEBANG = b"#!/usr/bin/env python3\n"
# The same tool is the same file, whenever it is packed.
LONG_AGO = (2000, 1, 1, 0, 0, 0)


def install(machine: Machine, folder: Path = HERE) -> bool:
    """Write the one file; return whether it is new."""
    if folder.is_file():
        return False  # It is what is running.
    return machine.shell.write(machine.paths.tool, packed(folder), 0o755)


def packed(folder: Path) -> bytes:
    """Pack the folder of the tool."""
    buffer = io.BytesIO(SHEBANG)
    buffer.seek(0, io.SEEK_END)
    with zipfile.ZipFile(buffer, "a", zipfile.ZIP_DEFLATED) as archive:
        names = sorted(path for path in folder.rglob("*") if path.suffix in (".py", ".json"))
        for path in names:
            entry = zipfile.ZipInfo(path.relative_to(folder).as_posix(), LONG_AGO)
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, path.read_bytes())
    return buffer.getvalue()
