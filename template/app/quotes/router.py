"""`/api/v1/quotes` and `/api/v1/zones`."""

from fastapi import APIRouter

from app.core.feature import Feature
from app.core.problems import problem_responses
from app.quotes import service
from app.quotes.schemas import QuoteCreate, QuoteRead, ZonePage

router = APIRouter(prefix="/api/v1", tags=["quotes"])


def quotes() -> Feature:
    """Offer quotes."""
    return Feature(name="quotes", router=router)


@router.post("/quotes", responses=problem_responses(404, 409))
async def create_quote(body: QuoteCreate) -> QuoteRead:
    """Price a parcel."""
    return service.quote(body.zone, body.grams)


@router.get("/zones")
async def list_zones() -> ZonePage:
    """List where parcels can be sent."""
    return ZonePage(items=service.zones())
