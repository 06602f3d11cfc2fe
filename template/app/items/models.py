"""Items, as they are stored."""

from datetime import datetime

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from app.database.models import Base, RowId, UtcDateTime, utc_now

NAME_LENGTH = 200
DESCRIPTION_LENGTH = 2000


class Item(Base):
    """One item."""

    __tablename__ = "items"
    # SQLite would give the number of a deleted last row to the next one, and old cursors and links
    # would lead there.
    __table_args__ = {"sqlite_autoincrement": True}  # noqa: RUF012

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    name: Mapped[str] = mapped_column(String(NAME_LENGTH), unique=True)
    description: Mapped[str | None] = mapped_column(String(DESCRIPTION_LENGTH))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now, onupdate=utc_now)
