"""Which tables and columns a release uses, and which of them a migration takes away."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

from release import install
from release.say import Problem
from release.shell import Shell

# Tables, and the columns of each.
Use = dict[str, set[str]]

# Run by the interpreter of a release, in its directory. It imports models and connects to nothing.
QUESTION = """
import json
from app.database.base import Base
from app.database.models import import_models
import_models()
tables = Base.metadata.tables.values()
print(json.dumps({table.name: [column.name for column in table.columns] for table in tables}))
"""

# Nobody's query fails for want of these.
HARMLESS = re.compile(
    r"\bDROP\s+(INDEX|CONSTRAINT|DEFAULT|NOT\s+NULL|IDENTITY|EXPRESSION|TRIGGER|CHECK|FOREIGN\s+KEY)\b"
    r"|\b(ALTER\s+INDEX\b[^;]*?\bRENAME|RENAME\s+(CONSTRAINT|INDEX))\b",
    re.IGNORECASE | re.DOTALL,
)
TAKING = re.compile(r"\b(DROP|RENAME|SET\s+SCHEMA)\b", re.IGNORECASE)

# The methods that execute what they are given; some of them are also called without anything, on
# a result.
EXECUTING = {"execute", "exec_driver_sql", "executemany", "executescript", "scalar", "scalars"}
# What drops or renames in a way that is not looked into.
DROPPING = {
    "drop", "drop_all", "DropTable", "DropColumn",
    "DropTableOp", "DropColumnOp", "RenameTableOp", "AlterColumnOp",
}  # fmt: skip
# The last call of an expression of SQLAlchemy, which changes rows and no tables.
EXPRESSIONS = {
    "insert", "update", "delete", "select", "values", "where", "returning", "from_select",
}  # fmt: skip


NAMED = re.compile(r"""^revision\b[^=\n]*=\s*["']([^"'\n]+)["']""", re.MULTILINE)


def revisions(release: Path) -> dict[str, Path]:
    """Return the migrations of a release, by the names they give themselves."""
    found = {}
    for path in sorted((release / "migrations" / "versions").glob("*.py")):
        source = path.read_text(encoding="utf-8")
        try:
            body = ast.parse(source).body
        except (SyntaxError, ValueError):
            # Written for a newer Python than the tool has; what it does is not judged, but listed.
            if match := NAMED.search(source):
                found[match[1]] = path
            continue
        for node in body:
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", 0)]
            named = any(isinstance(name, ast.Name) and name.id == "revision" for name in targets)
            value = getattr(node, "value", None)
            if named and isinstance(value, ast.Constant):
                found[str(value.value)] = path
    return found


def used(shell: Shell, release: Path, user: str) -> Use:
    """Ask a release itself; as the user of the service, since it is the service's code."""
    python = str(install.interpreter(release))
    result = shell.ask([python, "-c", QUESTION], cwd=release, user=user)
    try:
        return {table: set(columns) for table, columns in json.loads(result.stdout).items()}
    except ValueError:
        reason = (result.stderr.strip().splitlines() or ["no answer"])[-1]
        raise Problem(
            f"{release.name} does not say which tables it uses ({reason}), so the migrations "
            "cannot be compared with it; --force-migration runs them nevertheless"
        ) from None


def breaking(source: str, use: Use) -> list[tuple[int, str]]:
    """
    List what a migration takes away that is used: lines, and words for people.

    What cannot be judged by reading is listed too.
    """
    visitor = _Visitor(use)
    try:
        visitor.visit(ast.parse(source))
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None) or 1
        return [(line, f"{error}: this cannot be judged, look at it yourself")]
    return sorted(visitor.found)


class _Visitor(ast.NodeVisitor):
    """Reads what a migration does when it upgrades."""

    def __init__(self, use: Use) -> None:
        self.found: list[tuple[int, str]] = []
        self._use = use
        self._constants: dict[str, str] = {}
        self._batches: dict[str, str | None] = {}

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        if node.name != "downgrade":
            self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> None:
        self._assign(node.targets, node.value)
        self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self._assign([node.target], node.value)
        self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self._assign([node.target], None)
        self.generic_visit(node)

    def visit_For(self, node: ast.For) -> None:
        self._assign([node.target], None)
        self.generic_visit(node)

    def _assign(self, targets: list[ast.expr], value: ast.expr | None) -> None:
        """Remember a name's text; one that is given anything else is known no more."""
        text = None if value is None else self._text(value)
        for target in targets:
            for name in ast.walk(target):
                if isinstance(name, ast.Name):
                    self._constants.pop(name.id, None)
            if isinstance(target, ast.Name) and text is not None:
                self._constants[target.id] = text

    def visit_With(self, node: ast.With) -> None:
        for item in node.items:
            call, name = item.context_expr, item.optional_vars
            if isinstance(call, ast.Call) and _method(call) == "batch_alter_table":
                table = self._argument(call, 0, "table_name")
                if isinstance(name, ast.Name):
                    self._batches[name.id] = table
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        self._judge(node, _method(node))
        self.generic_visit(node)

    def _judge(self, node: ast.Call, method: str) -> None:
        if method == "drop_table":
            self._takes(node, "drops", self._argument(node, 0, "table_name"))
        elif method == "rename_table":
            self._takes(node, "renames", self._argument(node, 0, "old_table_name"))
        elif method == "drop_column":
            self._takes_column(node, "drops")
        elif method == "alter_column":
            names = [keyword.arg for keyword in node.keywords]
            if None in names:
                self._unknown(node, "it may rename, which is only known when it runs")
            elif "new_column_name" in names:
                self._takes_column(node, "renames")
        elif method in EXECUTING:
            self._executes(node)
        elif method in DROPPING:
            self._unknown(node, f"{method}() may drop what is used")

    def _takes_column(self, node: ast.Call, verb: str) -> None:
        owner = node.func.value if isinstance(node.func, ast.Attribute) else None
        if isinstance(owner, ast.Name) and owner.id in self._batches:
            table, column = self._batches[owner.id], self._argument(node, 0, "column_name")
        else:
            table = self._argument(node, 0, "table_name")
            column = self._argument(node, 1, "column_name")
        self._takes(node, verb, table, column)

    def _takes(self, node: ast.Call, verb: str, table: str | None, column: str | None = "") -> None:
        if table is None or column is None:
            self._unknown(node, f"it {verb} something whose name is only known when it runs")
        elif table in self._use and (not column or column in self._use[table]):
            what = f"the column {table}.{column}" if column else f"the table {table}"
            self.found.append((node.lineno, f"it {verb} {what}, which is used"))

    def _executes(self, node: ast.Call) -> None:
        given = [k.value for k in node.keywords if k.arg in ("sqltext", "statement")]
        if not node.args and not node.keywords:
            return
        statement = [*node.args, *given, None][0]
        while isinstance(statement, ast.Call) and _method(statement) in ("text", "DDL"):
            statement = [*statement.args, None][0]
        if isinstance(statement, ast.Call) and _method(statement) in EXPRESSIONS | DROPPING:
            # It changes rows; or it drops, and is listed for itself.
            return
        text = None if statement is None else self._text(statement, partly=True)
        if text is None:
            self._unknown(node, "it executes a statement that is only known when it runs")
        elif TAKING.search(HARMLESS.sub("", text)):
            self._unknown(node, "it executes SQL that drops or renames")

    def _unknown(self, node: ast.Call, what: str) -> None:
        self.found.append((node.lineno, f"{what}: this cannot be judged, look at it yourself"))

    def _argument(self, call: ast.Call, position: int, name: str) -> str | None:
        given = [keyword.value for keyword in call.keywords if keyword.arg == name]
        if not given and len(call.args) > position:
            given = [call.args[position]]
        return self._text(given[0]) if given else None

    def _text(self, node: ast.expr, partly: bool = False) -> str | None:
        """Return a string that is written here; `partly`: of an f-string, what is."""
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return node.value
        if isinstance(node, ast.Name):
            return self._constants.get(node.id)
        if partly and isinstance(node, ast.JoinedStr):
            return "".join(_literals(node))
        return None


def _literals(node: ast.JoinedStr) -> Iterator[str]:
    for part in node.values:
        yield str(part.value) if isinstance(part, ast.Constant) else " … "


def _method(call: ast.Call) -> str:
    if isinstance(call.func, ast.Attribute):
        return call.func.attr
    return call.func.id if isinstance(call.func, ast.Name) else ""
