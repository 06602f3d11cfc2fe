"""Statements for tests."""

# Never ends by itself, on any database that knows recursion.
ENDLESS = """
WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n % 1000 + 1 FROM numbers)
SELECT count(*) FROM numbers
"""
INSERT = """
INSERT INTO test_rows (name) VALUES ('written')
"""
COUNT = """
SELECT count(*) FROM test_rows
"""
NAMES = """
SELECT name FROM test_rows
"""
