"""What a release is made for: one version of Python on one kind of machine with one C library."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass

from release.say import Problem

# Wheels name the oldest C library they run on. Before PEP 600 some of those had names of their own.
OLD_NAMES = {5: "manylinux1", 12: "manylinux2010", 17: "manylinux2014"}
OLDEST_GLIBC = 5

# Run by the interpreter in question, which may be older than this program.
QUESTION = """
import json, os, sys, sysconfig
libc = "musl"
try:
    libc = os.confstr("CS_GNU_LIBC_VERSION") or libc
except (AttributeError, OSError, ValueError):
    pass
print(json.dumps({
    "implementation": sys.implementation.name,
    "python": "%d.%d" % sys.version_info[:2],
    "machine": sysconfig.get_platform().split("-", 1)[-1],
    "libc": libc,
}))
"""


@dataclass(frozen=True)
class Target:
    """`python` is `3.13`, `machine` is `x86_64`, `libc` is `glibc 2.41`."""

    python: str
    machine: str
    libc: str

    def __str__(self) -> str:
        return f"python{self.python}-{self.machine}-{self.libc.replace(' ', '')}"

    @property
    def version(self) -> tuple[int, ...]:
        """The version of Python, to compare."""
        return tuple(int(part) for part in self.python.split("."))

    def platforms(self) -> list[str]:
        """
        List the platform tags of wheels that run there, the best first.

        pip does not derive them from the newest one, so all are listed.
        """
        family, _, version = self.libc.partition(" ")
        major, minor = (int(part) for part in version.split(".")[:2])
        if family == "musl":
            return [f"musllinux_{major}_{older}_{self.machine}" for older in range(minor, -1, -1)]
        tags = []
        for older in range(minor, OLDEST_GLIBC - 1, -1):
            tags.append(f"manylinux_{major}_{older}_{self.machine}")
            if older in OLD_NAMES:
                tags.append(f"{OLD_NAMES[older]}_{self.machine}")
        return [*tags, f"linux_{self.machine}"]

    def markers(self) -> dict[str, str]:
        """Give what the conditions of requirements (PEP 508) ask about."""
        return {
            "implementation_name": "cpython",
            "os_name": "posix",
            "platform_machine": self.machine,
            "platform_python_implementation": "CPython",
            "platform_system": "Linux",
            "python_full_version": f"{self.python}.0",
            "python_version": self.python,
            "sys_platform": "linux",
        }


def parse(text: str) -> Target:
    """Read what `str` of a target gives: `python3.13-x86_64-glibc2.41`."""
    found = re.fullmatch(r"python(3\.\d+)-(\w+)-(glibc|musl)(\d+\.\d+)", text)
    if not found:
        raise Problem(
            f"{text} is not a target; a host tells its own: "
            "`release facts`, for example python3.13-x86_64-glibc2.41"
        )
    return Target(found[1], found[2], f"{found[3]} {found[4]}")


def ask(python: str) -> Target:
    """Ask an interpreter what it is."""
    try:
        done = subprocess.run(
            [python, "-I", "-c", QUESTION], capture_output=True, text=True, timeout=30, check=True
        )
        answer = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise Problem(f"{python} does not run: {reason(error)}") from error
    if answer["implementation"] != "cpython":
        raise Problem(f"{python} is {answer['implementation']}; CPython is needed")
    if answer["libc"] == "musl":
        answer["libc"] = f"musl {musl_version()}"
    return Target(answer["python"], answer["machine"], answer["libc"])


def here() -> Target:
    """Describe the interpreter that runs this program."""
    return ask(sys.executable)


def musl_version() -> str:
    """Ask the loader of musl, which has no function for it."""
    for loader in sorted(os.listdir("/lib")):
        if loader.startswith("ld-musl-"):
            done = subprocess.run(
                [f"/lib/{loader}"], capture_output=True, text=True, timeout=30, check=False
            )
            if found := re.search(r"Version (\d+\.\d+)", done.stderr):
                return found[1]
    return "1.2"


def reason(error: Exception) -> str:
    """Say in a few words why a program did not run."""
    if isinstance(error, subprocess.CalledProcessError):
        lines = str(error.stderr or "").strip().splitlines()
        return lines[-1] if lines else f"exit code {error.returncode}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error)
