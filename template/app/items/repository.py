"""The SQL of items, and nothing else."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from app.database.errors import is_conflict
from app.database.session import SessionDep
from app.items.errors import ItemNameTaken
from app.items.models import Item


class ItemRepository:
    """Items in the database, within the transaction of one session."""

    def __init__(self, session: SessionDep) -> None:
        """Use the session of the request."""
        self.session = session

    async def add(self, item: Item) -> None:
        """Insert; raises ItemNameTaken."""
        self.session.add(item)
        await self.save()

    async def get(self, item_id: int, *, for_update: bool = False) -> Item | None:
        """
        Read one; `for_update` keeps others from changing or deleting it until the end of the
        transaction.
        """
        return await self.session.get(Item, item_id, with_for_update=for_update)

    async def list_after(self, item_id: int, limit: int) -> Sequence[Item]:
        """Read the next ones in the order of creation."""
        query = select(Item).where(Item.id > item_id).order_by(Item.id).limit(limit)
        return (await self.session.scalars(query)).all()

    async def save(self) -> None:
        """Send changes to the database now; raises ItemNameTaken."""
        try:
            await self.session.flush()
        except IntegrityError as error:
            # The name is the only thing that can be taken. Looking for it before the insert would
            # miss the one that is inserted meanwhile.
            raise ItemNameTaken if is_conflict(error) else error from error

    async def delete(self, item: Item) -> None:
        """Delete one."""
        await self.session.delete(item)
        await self.session.flush()
