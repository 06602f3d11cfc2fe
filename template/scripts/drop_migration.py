"""The part of `drop-example` that knows migrations; removed with it."""

import ast
from pathlib import Path


def plan(root: Path, name: str) -> tuple[list[Path], dict[Path, str], list[str]]:
    """
    Return the files to remove, those to write, and what the user has to do about the table.

    A migration stays when others build on it. Raises ValueError when several could be meant.
    """
    versions = root / "migrations" / "versions"
    own = [path for path in versions.glob(f"*_{name}.py") if f'"{name}"' in path.read_text()]
    if not own:
        return [], {}, []
    if len(own) > 1:
        names = ", ".join(path.name for path in own)
        raise ValueError(f"several migrations could be the one of the example: {names}")
    revision = literal(own[0], "revision")
    later = [
        path.name
        for path in sorted(versions.glob("*.py"))
        if path != own[0] and revision in mentioned(path)
    ]
    if later:
        advice = (
            f"{own[0].name} stays, because {', '.join(later)} follows it. The table is dropped by\n"
            "a new migration; tests fail until then:\n"
            f'    make migration NAME="drop {name}"'
        )
        return [], {}, [advice]
    advice = (
        "A database that was already migrated still has the table, and names a migration that is\n"
        "gone. In development delete var/development.db; elsewhere, before anything else is\n"
        "migrated:\n"
        f"    DROP TABLE {name}; DELETE FROM alembic_version;"
    )
    # Git forgets empty directories, and the next migration is going to be written there.
    return own, {versions / ".gitkeep": ""}, [advice]


def mentioned(path: Path) -> set[object]:
    """Return the revisions a migration builds on."""
    found: set[object] = set()
    for variable in ("down_revision", "depends_on"):
        value = literal(path, variable)
        found |= set(value) if isinstance(value, (tuple, list)) else {value}
    return found


def literal(path: Path, variable: str) -> object:
    """Read the value of a variable of a migration without running it."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if any(isinstance(target, ast.Name) and target.id == variable for target in targets):
            value = getattr(node, "value", None)
            return ast.literal_eval(value) if value is not None else None
    return None
