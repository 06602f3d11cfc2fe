"""Pages of rows, by cursor: the position is a row, so that rows added meanwhile shift nothing."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Annotated

from fastapi import Query
from pydantic import BaseModel

from app.core.problems import BadRequest
from app.database.models import MAX_ROW_ID


class PageQuery(BaseModel):
    """The query parameters of a list."""

    limit: int = Query(default=50, ge=1, le=200, description="How many to return at most.")
    # Longer than any cursor of ours.
    cursor: str | None = Query(default=None, max_length=200, description="`next_cursor` of a page.")

    @property
    def after(self) -> int:
        """The id of the last row before the page, 0 at the start; raises BadRequest."""
        return 0 if self.cursor is None else decode_cursor(self.cursor)


PageDep = Annotated[PageQuery, Query()]


def encode_cursor(last_id: int) -> str:
    """Make the cursor of the page after a row. Opaque to clients: its content may change."""
    return urlsafe_b64encode(json.dumps({"id": last_id}).encode()).decode().rstrip("=")


def decode_cursor(cursor: str) -> int:
    """Return the id in a cursor; raises BadRequest for what we never handed out."""
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        last_id = json.loads(urlsafe_b64decode(padded.encode("ascii")))["id"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise BadRequest("The cursor is not one of this service.") from None
    if type(last_id) is not int or not 0 <= last_id <= MAX_ROW_ID:
        raise BadRequest("The cursor is not one of this service.")
    return last_id
