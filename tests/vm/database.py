"""
The PostgreSQL of a machine, as its operator uses it.
"""

from __future__ import annotations

from tests.support.machine import Machine

UNIT = "postgresql.service"


def create_database(machine: Machine, name: str) -> str:
    """
    A role and a database of its own; the URL.
    """
    machine.run("sh", "-c", "until pg_isready --quiet --host=127.0.0.1; do sleep 0.1; done", timeout=30)
    role = _role(name)
    _psql(machine, "postgres", f"create role {role} login password 'secret';\ncreate database {role} owner {role};")
    return f"postgresql://{role}:secret@127.0.0.1:5432/{role}"


def query(machine: Machine, name: str, sql: str) -> list[str]:
    """
    The lines of an answer of that database.
    """
    return _psql(machine, _role(name), sql).splitlines()


def _role(name: str) -> str:
    return name.replace("-", "_")


def _psql(machine: Machine, database: str, sql: str) -> str:
    words = ("runuser", "-u", "postgres", "--", "psql", "-qAt", "-v", "ON_ERROR_STOP=1", "-d", database)
    return machine.run(*words, input=sql).stdout
