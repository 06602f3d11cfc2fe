"""What `setup` was told about this host, and remembers."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from release import say
from release.shell import Shell


class Damaged(say.Problem):
    """What is remembered cannot be read."""


@dataclass
class Host:
    """The contents of `/opt/<slug>/host.json`."""

    domain: str = ""
    email: str = ""
    port: int = 0
    """The TCP port, when there is no unix socket."""
    listen: str = ""
    """An address beside loopback, for a load balancer that is not on this machine."""
    python: str = ""
    """An interpreter that the service's user can execute."""
    options: dict[str, str] = field(default_factory=dict)
    """Whatever else has to be remembered."""

    @classmethod
    def load(cls, path: Path) -> Host | None:
        """Read it; None where the service is not installed."""
        try:
            return cls(**cls._known(json.loads(path.read_text())))
        except FileNotFoundError:
            return None
        except PermissionError:
            raise say.Problem(f"{path} cannot be read; run this as root") from None
        except ValueError:
            raise Damaged(f"{path} is damaged; run setup again: {say.TOOL} setup") from None

    @classmethod
    def recall(cls, path: Path) -> Host:
        """Read what there is, for those who can do without."""
        try:
            return cls.load(path) or cls()
        except Damaged:
            return cls()

    @classmethod
    def _known(cls, values: object) -> dict[str, Any]:
        if not isinstance(values, dict):
            raise ValueError("it is no object")
        kinds = {name: type(value) for name, value in vars(cls()).items()}
        known = {name: value for name, value in values.items() if name in kinds}
        if any(not isinstance(value, kinds[name]) for name, value in known.items()):
            raise ValueError("it holds something of another kind")
        return known

    def save(self, path: Path, shell: Shell) -> bool:
        """Write it; return whether anything is new."""
        return shell.write(path, json.dumps(dataclasses.asdict(self), indent=2) + "\n")
