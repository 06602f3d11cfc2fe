"""
Root file systems of Debian, for machines and for older and newer programs: made once, kept in `.cache/roots`.

    root("trixie") / "usr/sbin/nginx"

What a test changes lies in an overlay above it: a root is never written to again.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support import failure
from tests.support.locks import locked
from tests.support.project import CACHE

#: The lower and the upper end of what is supported, as the name in words says.
SUITES: Mapping[str, str] = {"bookworm": "systemd 252, nginx 1.22", "trixie": "systemd 257, nginx 1.26"}
#: What somebody's server has: an init, a database, proxies, and the little that their packages do not bring along.
PACKAGES = (
    "ca-certificates",
    "caddy",
    "certbot",
    "dbus",
    "init",
    "iproute2",
    "libpam-systemd",
    "nginx",
    "openssh-server",
    "openssl",
    "postgresql",
    "procps",
    "python3",
    "sudo",
    "util-linux",
)
#: They wake up by themselves and take CPU from what is measured; or they want the port that another proxy has.
DISABLED = ("apt-daily.timer", "apt-daily-upgrade.timer", "caddy.service", "e2scrub_all.timer", "fstrim.timer")
MIRROR = os.environ.get("DEBIAN_MIRROR", "http://deb.debian.org/debian")


def missing() -> list[str]:
    """
    The programs and rights that this machine lacks to make or boot one.
    """
    tools = [name for name in ("debootstrap", "systemd-nspawn", "nsenter", "unshare") if not shutil.which(name)]
    return tools if os.geteuid() == 0 else ["root", *tools]


def root(suite: str) -> Path:
    """
    The root file system of a suite; made now when it is not there. Skips, naming what is missing.
    """
    folder = CACHE / "roots" / f"{suite}-{_key(suite)}"
    with locked(folder.with_suffix(".guard")):
        if not folder.exists():
            if absent := missing():
                pytest.skip(f"{', '.join(absent)} missing: a root file system cannot be made")
            _make(suite, folder)
    return folder


def _key(suite: str) -> str:
    parts = [suite, *PACKAGES, *DISABLED, _make.__doc__ or ""]
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()[:12]


def smallest(suite: str) -> Path:
    """
    The base of every Debian, as a tar: roots and images are made from it.
    """
    path = CACHE / "roots" / f"{suite}.tar"
    with locked(path.with_suffix(".guard")):
        if not path.exists():
            folder, unfinished = path.with_suffix(".bootstrap"), path.with_suffix(".partial")
            shutil.rmtree(folder, ignore_errors=True)
            folder.parent.mkdir(parents=True, exist_ok=True)
            log = path.with_suffix(".log")
            log.unlink(missing_ok=True)
            _run(log, "debootstrap", "--variant=minbase", suite, str(folder), MIRROR)
            for archive in (folder / "var/cache/apt/archives").glob("*.deb"):
                archive.unlink()
            _run(log, "tar", "--numeric-owner", "--directory", str(folder), "--create", "--file", str(unfinished), ".")
            shutil.rmtree(folder)
            unfinished.rename(path)
    return path


def _make(suite: str, folder: Path) -> None:
    """
    Make one, first version: the base by debootstrap, the rest by apt, which knows about alternatives.
    """
    unfinished = folder.with_name(f"{folder.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    log = folder.with_suffix(".log")
    log.unlink(missing_ok=True)
    unfinished.mkdir()
    _run(log, "tar", "--numeric-owner", "--directory", str(unfinished), "--extract", "--file", str(smallest(suite)))
    # Nothing starts in a folder that is not a running machine.
    policy = unfinished / "usr/sbin/policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    inside = ("unshare", "--mount", "--pid", "--fork", f"--root={unfinished}", "--mount-proc")
    _run(log, *inside, "apt-get", "install", "--yes", "--quiet", "--no-install-recommends", *PACKAGES)
    policy.unlink()
    _run(log, "systemctl", f"--root={unfinished}", "--quiet", "disable", *DISABLED)
    # Every boot is another machine's.
    (unfinished / "etc/machine-id").write_text("")
    for archive in (unfinished / "var/cache/apt/archives").glob("*.deb"):
        archive.unlink()
    unfinished.rename(folder)


def _run(log: Path, *words: str) -> None:
    # Its own PATH: what a person has put before the system's programs is not in the new root.
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
    proxies = {name: value for name, value in os.environ.items() if name.lower() in {"http_proxy", "no_proxy"}}
    with log.open("ab") as output:
        done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment | proxies)
    if done.returncode:
        pytest.fail(failure.frame(log.read_text(errors="replace"), title=" ".join(words)), pytrace=False)
