"""The rules of quotes. Nothing is stored: any number of workers give the same answer."""

from app.quotes.errors import TooHeavy, ZoneNotFound
from app.quotes.schemas import QuoteRead, ZoneRead
from app.quotes.tariff import ZONES


def quote(zone_name: str, grams: int) -> QuoteRead:
    """Price a parcel; every begun kilogram counts. Raises ZoneNotFound, TooHeavy."""
    zone = ZONES.get(zone_name)
    if zone is None:
        raise ZoneNotFound
    if grams > zone.max_grams:
        raise TooHeavy(zone.max_grams)
    kilograms = -(-grams // 1000)
    return QuoteRead(
        zone=zone_name,
        grams=grams,
        cents=zone.base + kilograms * zone.per_kilogram,
        days=zone.days,
    )


def zones() -> list[ZoneRead]:
    """List where parcels can be sent, the nearest first."""
    return [
        ZoneRead(name=name, max_grams=zone.max_grams, days=zone.days)
        for name, zone in ZONES.items()
    ]
