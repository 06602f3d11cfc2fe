"""
Releases as nobody builds them: entries of any kind in an archive.
"""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.vm.operator import Release


class Entry(tarfile.TarInfo):
    """
    One of them, with what it holds.
    """

    content = b""


def entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", text: str = "", mode: int = 0o644) -> Entry:
    """
    An entry of an archive; `text` is what a file holds.
    """
    made = Entry(name)
    made.type, made.linkname, made.mode = kind, link, mode
    made.content = text.encode()
    made.size = len(made.content)
    return made


def archive(folder: Path, name: str, facts: Mapping[str, Any] | None, *entries: Entry) -> Release:
    """
    A release of release.json and some entries, and nothing else: enough for what is refused before the packages matter.
    """
    file = folder / f"{name}.tar.gz"
    notes = () if facts is None else (entry("./release.json", text=json.dumps(facts)),)
    with gzip.open(file, "wb", compresslevel=1) as packed, tarfile.open(fileobj=packed, mode="w") as tar:
        for made in (*entries, *notes):
            tar.addfile(made, io.BytesIO(made.content))
    return Release(name, file)
