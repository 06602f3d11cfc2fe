"""A table that belongs to no feature, and how long a statement may take."""

from collections.abc import Iterator

import pytest

from tests.fixtures.database import run_sql


@pytest.fixture
def rows(database_url: str) -> Iterator[None]:
    """Make the table `test_rows`."""
    run_sql(database_url, "CREATE TABLE test_rows (name VARCHAR(40) NOT NULL UNIQUE)")
    yield
    run_sql(database_url, "DROP TABLE test_rows")


@pytest.fixture
def seconds() -> float:
    """Return DATABASE_SECONDS, long enough for a machine that is busy; a test may ask for less."""
    return 20
