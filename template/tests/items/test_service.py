"""The rules of items, without HTTP."""

import asyncio

import pytest

from app.database.session import Database
from app.items.errors import ItemNameTaken, ItemNotFound
from app.items.repository import ItemRepository
from app.items.service import ItemService

pytestmark = pytest.mark.anyio


async def attempt_create(database: Database, name: str) -> str:
    """Create an item in a transaction of its own and return what came of it."""
    try:
        async with database.session() as session:
            await ItemService(ItemRepository(session)).create(name, None)
    except ItemNameTaken:
        return "taken"
    return "created"


async def test_of_many_at_once_one_gets_the_name(database: Database) -> None:
    """Uniqueness holds for requests that run side by side."""
    outcomes = await asyncio.gather(*(attempt_create(database, "lamp") for _ in range(8)))
    assert sorted(outcomes) == ["created"] + 7 * ["taken"]


async def test_change_and_delete_at_once(database: Database) -> None:
    """A change that meets a deletion comes before it or finds nothing; it never fails otherwise."""
    for round_number in range(10):
        async with database.session() as session:
            item = await ItemService(ItemRepository(session)).create(f"lamp {round_number}", None)

        async def change(item_id: int = item.id) -> None:
            async with database.session() as session:
                await ItemService(ItemRepository(session)).update(item_id, {"description": "x"})

        async def delete(item_id: int = item.id) -> None:
            async with database.session() as session:
                await ItemService(ItemRepository(session)).delete(item_id)

        outcomes = await asyncio.gather(change(), delete(), return_exceptions=True)
        assert outcomes[1] is None
        assert outcomes[0] is None or isinstance(outcomes[0], ItemNotFound)
