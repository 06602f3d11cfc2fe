"""Quotes, as clients see them."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

# A zone is a word, so that a misspelt one is "not found" and anything else does not match the
# schema.
ZoneName = Annotated[str, Field(pattern=r"^[a-z]{1,40}$")]


class QuoteCreate(BaseModel):
    """A parcel."""

    model_config = ConfigDict(extra="forbid")

    zone: ZoneName
    grams: Annotated[int, Field(ge=1, le=1_000_000)]


class QuoteRead(BaseModel):
    """The price of sending a parcel, and the time it takes."""

    zone: ZoneName
    grams: int
    cents: int
    days: int


class ZoneRead(BaseModel):
    """A zone that parcels can be sent to."""

    name: ZoneName
    max_grams: int
    days: int


class ZonePage(BaseModel):
    """All zones. They are few: there is never a next page."""

    items: list[ZoneRead]
    next_cursor: None = None
