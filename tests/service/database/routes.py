"""Routes that use the table `test_rows`."""

from sqlalchemy import text

from app.core.service import Service
from app.database.session import SessionDep
from tests.service.database.sql import COUNT, INSERT


def add_row_routes(service: Service) -> None:
    """Add `GET /count` and `POST /insert`."""

    @service.get("/count")
    async def count(session: SessionDep) -> int:
        return int(await session.scalar(text(COUNT)) or 0)

    @service.post("/insert")
    async def insert(session: SessionDep) -> None:
        await session.execute(text(INSERT))
