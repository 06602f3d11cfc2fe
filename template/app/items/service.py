"""The rules of items."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import Depends

from app.items.errors import ItemNotFound
from app.items.models import Item
from app.items.repository import ItemRepository


class ItemService:
    """The operations on items. Raises problems, knows neither HTTP nor SQL."""

    def __init__(self, repository: Annotated[ItemRepository, Depends()]) -> None:
        """Use the repository of the request."""
        self.repository = repository

    async def create(self, name: str, description: str | None) -> Item:
        """Create an item; raises ItemNameTaken."""
        item = Item(name=name, description=description)
        await self.repository.add(item)
        return item

    async def read(self, item_id: int) -> Item:
        """Return an item; raises ItemNotFound."""
        return await self._get(item_id)

    async def page(self, after: int, limit: int) -> tuple[Sequence[Item], bool]:
        """Return the items that follow an id, and whether there are more."""
        # One more than asked for tells whether there is a next page, without counting.
        items = await self.repository.list_after(after, limit + 1)
        return items[:limit], len(items) > limit

    async def update(self, item_id: int, changes: dict[str, str | None]) -> Item:
        """Change what is given; raises ItemNotFound, ItemNameTaken."""
        item = await self._get(item_id, for_update=True)
        for member, value in changes.items():
            setattr(item, member, value)
        await self.repository.save()
        return item

    async def delete(self, item_id: int) -> None:
        """Delete an item; raises ItemNotFound."""
        await self.repository.delete(await self._get(item_id, for_update=True))

    async def _get(self, item_id: int, *, for_update: bool = False) -> Item:
        item = await self.repository.get(item_id, for_update=for_update)
        if item is None:
            raise ItemNotFound
        return item
