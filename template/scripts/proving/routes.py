"""Which routes are asked: those that were named, else what the description of the API offers."""

import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

# Without a server, because in production it may not publish the description.
_DESCRIBE = "import json; from app.main import app; print(json.dumps(app.openapi()))"


def named(root: Path) -> dict[str, str]:
    """Return `[tool.prove]` of pyproject.toml: `get`, `post`, `body`; each may be absent."""
    text = (root / "pyproject.toml").read_text(encoding="utf-8")
    section: dict[str, str] = tomllib.loads(text).get("tool", {}).get("prove", {})
    return section


def offered(root: Path, environ: Mapping[str, str]) -> list[str]:
    """
    Return the paths that can be asked without knowing anything, and one in any case.

    GETs only: what a POST sets in motion is nothing to find out by trying.
    """
    described = subprocess.run(
        [sys.executable, "-c", _DESCRIBE],
        cwd=root,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    paths = list(_askable(json.loads(described.stdout))) if described.returncode == 0 else []
    # A missing page, too, is answered by the framework and all that stands around it.
    return [*paths, "/"]


def _askable(description: dict[str, Any]) -> Iterator[str]:
    for path, operations in description.get("paths", {}).items():
        operation = operations.get("get")
        if operation is None or operation.get("deprecated") or "{" in path:
            continue
        parameters = [*operations.get("parameters", []), *operation.get("parameters", [])]
        if not any(parameter.get("required") for parameter in parameters):
            yield path
