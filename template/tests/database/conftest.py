"""A table that belongs to no feature."""

from collections.abc import Iterator

import pytest

from tests.fixtures.database import run_sql


@pytest.fixture
def rows(database_url: str) -> Iterator[None]:
    """Make the table `test_rows`."""
    run_sql(database_url, "CREATE TABLE test_rows (name VARCHAR(40) NOT NULL UNIQUE)")
    yield
    run_sql(database_url, "DROP TABLE test_rows")
