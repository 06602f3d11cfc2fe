"""`/api/v1/items`."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request, Response

from app.core.feature import Feature
from app.core.problems import problem_responses
from app.database.models import MAX_ROW_ID
from app.database.pagination import PageDep, encode_cursor
from app.items.schemas import ItemCreate, ItemPage, ItemPatch, ItemRead
from app.items.service import ItemService

router = APIRouter(prefix="/api/v1/items", tags=["items"], responses=problem_responses(503))

ItemServiceDep = Annotated[ItemService, Depends()]
ItemId = Annotated[int, Path(ge=1, le=MAX_ROW_ID)]


def items() -> Feature:
    """Offer items."""
    return Feature(name="items", router=router)


@router.get("")
async def list_items(service: ItemServiceDep, query: PageDep) -> ItemPage:
    """List items, the oldest first."""
    page, more = await service.page(query.after, query.limit)
    return ItemPage(
        items=[ItemRead.model_validate(item) for item in page],
        next_cursor=encode_cursor(page[-1].id) if more else None,
    )


@router.post("", status_code=201, responses=problem_responses(409))
async def create_item(
    service: ItemServiceDep, body: ItemCreate, request: Request, response: Response
) -> ItemRead:
    """Create an item."""
    item = await service.create(body.name, body.description)
    response.headers["Location"] = request.url_for("read_item", item_id=item.id).path
    return ItemRead.model_validate(item)


@router.get("/{item_id}", responses=problem_responses(404))
async def read_item(service: ItemServiceDep, item_id: ItemId) -> ItemRead:
    """Return one item."""
    return ItemRead.model_validate(await service.read(item_id))


@router.patch("/{item_id}", responses=problem_responses(404, 409))
async def update_item(service: ItemServiceDep, item_id: ItemId, body: ItemPatch) -> ItemRead:
    """Change the members that the body carries."""
    return ItemRead.model_validate(await service.update(item_id, body.changes()))


@router.delete("/{item_id}", status_code=204, responses=problem_responses(404))
async def delete_item(service: ItemServiceDep, item_id: ItemId) -> None:
    """Delete an item."""
    await service.delete(item_id)
