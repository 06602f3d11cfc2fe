"""
A small Debian as an image: what the stand-ins are built on, since the ones from a registry cannot be had.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support import failure
from tests.support.locks import locked
from tests.support.project import CACHE
from tests.support.roots import MIRROR

SUITE = "trixie"
#: Besides what is essential. The base of python:*-slim has these as well.
PACKAGES = ("ca-certificates", "netbase", "tzdata")
#: Nobody reads a manual in a test. Fewer files: quicker to make, to pack and to unpack.
_UNREAD = ("usr/share/doc", "usr/share/man", "usr/share/locale", "var/cache/apt", "var/lib/apt/lists", "var/log")


def certificates() -> Path:
    """
    Whom this machine trusts. A proxy's authority on the way to the internet is among them.
    """
    chosen = Path(os.environ.get("SSL_CERT_FILE", ""))
    return chosen if chosen.is_file() else Path("/etc/ssl/certs/ca-certificates.crt")


def archive() -> Path:
    """
    The file system as a tar; made now when it is not there. Skips, naming what is missing.
    """
    path = CACHE / "roots" / f"{SUITE}-small-{key()}.tar"
    with locked(path.with_suffix(".guard")):
        if not path.exists():
            if not shutil.which("debootstrap", path="/usr/sbin:/usr/bin"):
                pytest.skip("debootstrap is missing (scripts/install-tools installs it): no image can be made")
            _make(path)
    return path


def key() -> str:
    parts = [SUITE, *PACKAGES, *_UNREAD, _make.__doc__ or "", certificates().read_text(errors="replace")]
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()[:12]


def _make(path: Path) -> None:
    """
    Make it, first version.
    """
    folder = path.with_suffix(".unfinished")
    shutil.rmtree(folder, ignore_errors=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
    proxies = {name: value for name, value in os.environ.items() if name.lower() in {"http_proxy", "no_proxy"}}
    words = ["debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", SUITE, str(folder), MIRROR]
    done = subprocess.run(
        words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment | proxies,
    )
    if done.returncode:
        pytest.fail(failure.frame(done.stdout, title=" ".join(words)), pytrace=False)
    for name in _UNREAD:
        for entry in (folder / name).iterdir():
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
    shutil.copy(certificates(), folder / "etc/ssl/certs/ca-certificates.crt")
    unfinished = path.with_suffix(".partial")
    subprocess.run(["tar", "--numeric-owner", "-C", folder, "-cf", unfinished, "."], check=True)
    shutil.rmtree(folder)
    unfinished.rename(path)
