"""
The base of the stand-ins, since images from a registry cannot be had: a small Debian, made here.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from functools import cache
from pathlib import Path

import pytest

from tests.support.rootfs import MIRROR, smallest

SUITE = "trixie"


def certificates() -> Path:
    """
    The authorities that this machine trusts. A proxy's authority on the way to the internet is among them.
    """
    chosen = Path(os.environ.get("SSL_CERT_FILE", ""))
    return chosen if chosen.is_file() else Path("/etc/ssl/certs/ca-certificates.crt")


def archive() -> Path:
    """
    The file system as a tar; made now when it is not there. Skips, naming what is missing.
    """
    if not shutil.which("debootstrap", path="/usr/sbin:/usr/bin"):
        pytest.skip("debootstrap is missing (scripts/install-tools installs it): no image can be made")
    return smallest(SUITE)


@cache
def key() -> str:
    """
    The facts that decide about it.
    """
    return hashlib.sha256(f"{SUITE} {MIRROR} {certificates().read_text(errors='replace')}".encode()).hexdigest()[:12]
