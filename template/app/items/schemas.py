"""Items, as clients see them."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
)

from app.items.models import DESCRIPTION_LENGTH, NAME_LENGTH

# The words of `without_nul`, for clients that read schemas; and not only blanks.
_NAME_PATTERN = r"^[^\x00]*[^\x00\s][^\x00]*$"
_TEXT_PATTERN = r"^[^\x00]*$"


def without_nul(value: str) -> str:
    """Refuse NUL, which JSON can carry and PostgreSQL cannot store."""
    if "\x00" in value:
        raise ValueError("must not contain NUL")
    return value


# The schemas are written out because `pattern` as a constraint would show clients its regular
# expression in place of a message.
Name = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=NAME_LENGTH),
    AfterValidator(without_nul),
    WithJsonSchema(
        {"type": "string", "minLength": 1, "maxLength": NAME_LENGTH, "pattern": _NAME_PATTERN}
    ),
]
Description = Annotated[
    str,
    StringConstraints(max_length=DESCRIPTION_LENGTH),
    AfterValidator(without_nul),
    WithJsonSchema({"type": "string", "maxLength": DESCRIPTION_LENGTH, "pattern": _TEXT_PATTERN}),
]


def _without_default(schema: dict[str, Any]) -> None:
    schema.pop("default")


class ItemCreate(BaseModel):
    """A new item."""

    model_config = ConfigDict(extra="forbid")

    name: Name
    description: Description | None = None


class ItemPatch(BaseModel):
    """
    Changes to an item. What is absent stays as it is; `"description": null` removes the
    description.
    """

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
