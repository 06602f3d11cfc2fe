"""The prices of shipping."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Zone:
    """A zone, and its prices in cents, without tax."""

    base: int
    per_kilogram: int
    # What the carrier takes in one parcel.
    max_grams: int
    days: int


ZONES = {
    "domestic": Zone(base=390, per_kilogram=60, max_grams=31_500, days=2),
    "continental": Zone(base=990, per_kilogram=150, max_grams=31_500, days=4),
    "worldwide": Zone(base=1990, per_kilogram=480, max_grams=20_000, days=10),
}
