"""Errors of requests for a quote."""

from app.core.problems import Conflict, NotFound


class ZoneNotFound(NotFound):
    """No zone has this name."""

    def __init__(self) -> None:
        """Say so, without the name."""
        super().__init__("There is no such zone; /api/v1/zones lists them.")


class TooHeavy(Conflict):
    """The carrier does not take such a parcel there."""

    def __init__(self, max_grams: int) -> None:
        """Say what it does take."""
        super().__init__(f"A parcel to this zone weighs at most {max_grams} grams.")
