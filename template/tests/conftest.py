"""Every fixture of the suite lives in `fixtures/`, one concern per file."""

from pathlib import Path

FIXTURES = Path(__file__).parent / "fixtures"

pytest_plugins = [f"tests.fixtures.{path.stem}" for path in sorted(FIXTURES.glob("[a-z]*.py"))]
