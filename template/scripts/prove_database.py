"""The part of `prove` that knows the database: what the load writes goes into a scratch file."""

from pathlib import Path


def prepare(environ: dict[str, str], scratch: Path, consent: bool) -> str:
    """
    Name a database in `environ`, and return what is to be said of it.

    Raises ValueError when rows could stay where nobody wants them.
    """
    if consent:
        return "the database is that of the environment, and keeps the rows"
    if environ.get("APP_ENV", "").lower() == "production":
        raise ValueError(
            "in production, rows would be written into the database and stay there: "
            "leave APP_ENV out to use a scratch file, or say --yes"
        )
    # In development the service makes its tables itself.
    environ["DATABASE_URL"] = f"sqlite:///{scratch / 'prove.db'}"
    return "the database is a scratch file; --yes takes the one that the environment names"
