"""Errors of requests for items."""

from app.core.problems import Conflict, NotFound


class ItemNotFound(NotFound):
    """No item has this id."""

    def __init__(self) -> None:
        """Say so, without the id."""
        super().__init__("There is no such item.")


class ItemNameTaken(Conflict):
    """Names are unique."""

    def __init__(self) -> None:
        """Say so, without the name."""
        super().__init__("An item with this name exists already.")
