"""Items, as clients see them."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from app.items.models import DESCRIPTION_LENGTH, NAME_LENGTH

# Without NUL, which JSON can carry and PostgreSQL cannot store; and not only blanks, which are stripped.
Name = Annotated[
    str,
    StringConstraints(
        strip_whitespace=True,
        min_length=1,
        max_length=NAME_LENGTH,
        pattern=r"^[^\x00]*[^\x00\s][^\x00]*$",
    ),
]
Description = Annotated[
    str, StringConstraints(max_length=DESCRIPTION_LENGTH, pattern=r"^[^\x00]*$")
]


def _without_default(schema: dict[str, Any]) -> None:
    schema.pop("default")


class ItemCreate(BaseModel):
    """A new item."""

    model_config = ConfigDict(extra="forbid")

    name: Name
    description: Description | None = None


class ItemPatch(BaseModel):
    """Changes to an item. What is absent stays as it is; `"description": null` removes the description."""

    model_config = ConfigDict(extra="forbid")

    # The default only stands for "absent" and is never used: null is no name.
    name: Name = Field(default="", json_schema_extra=_without_default)
    description: Description | None = Field(default=None, json_schema_extra=_without_default)

    def changes(self) -> dict[str, str | None]:
        """Return the members that the request carried."""
        return self.model_dump(exclude_unset=True)


class ItemRead(BaseModel):
    """An item."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    name: str
    description: str | None
    created_at: datetime
    updated_at: datetime


class ItemPage(BaseModel):
    """A part of the list of items, the oldest first."""

    items: list[ItemRead]
    next_cursor: str | None
