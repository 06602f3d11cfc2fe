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


def entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", text: str = "", mode: int = 0o644) -> tarfile.TarInfo:
    """
    An entry of an archive; `text` is what a file holds.
    """
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.mode = kind, link, mode
    made.size = len(text.encode())
    made.pax_headers = {"comment": text} if text else {}
    return made


def archive(folder: Path, name: str, facts: Mapping[str, Any] | None, *entries: tarfile.TarInfo) -> Release:
    """
    A release of release.json and some entries, and nothing else: enough for what is refused before the packages matter.
    """
    file = folder / f"{name}.tar.gz"
    with gzip.open(file, "wb", compresslevel=1) as packed, tarfile.open(fileobj=packed, mode="w") as tar:
        for made in entries:
            tar.addfile(made, io.BytesIO(made.pax_headers.pop("comment", "").encode()))
        if facts is not None:
            text = json.dumps(facts)
            tar.addfile(entry("./release.json", text=text), io.BytesIO(text.encode()))
    return Release(name, file)
