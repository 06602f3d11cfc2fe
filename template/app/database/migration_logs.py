"""The log of a migration: each step, and nothing about Alembic itself."""

import logging

# What it loads, what it compares.
_NOISY = ("alembic.runtime.plugins", "alembic.ddl", "alembic.autogenerate")


def quieten() -> None:
    """Keep the lines that say what is changed; may be called again."""
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("alembic.runtime.migration").addFilter(_is_step)


def _is_step(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith(("Context impl", "Will assume"))
