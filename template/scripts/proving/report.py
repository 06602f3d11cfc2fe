"""What is said of the proof: a table for people, or JSON."""

import json
from collections import Counter

from proving.exchange import Exchange
from proving.tally import Tally

HEADER = "event      sent    lost   slowest"
Row = tuple[str, Tally]


def line(event: str, tally: Tally) -> str:
    """Return one line of the table."""
    text = f"{event:<8} {tally.sent:>6,} {tally.lost:>7,} {tally.slowest * 1000:>6,.0f} ms"
    if tally.kinds:
        text += "   " + ", ".join(f"{count} {kind}" for kind, count in tally.kinds.items())
    if tally.in_flight:
        text += f"   and {tally.in_flight} in flight in that worker"
    return text


def notes(rows: list[Row]) -> list[str]:
    """Return what else has to be said."""
    statuses: Counter[int] = sum((tally.statuses for _, tally in rows), Counter())
    refused = {status: count for status, count in sorted(statuses.items()) if 400 <= status < 500}
    said = [f"{count:,} × {status}" for status, count in refused.items()]
    return [f"answered, but not as one would like: {', '.join(said)}"] if said else []


def as_json(exchange: Exchange, rows: list[Row]) -> str:
    """Return everything, for programs."""
    events = [
        {
            "event": event,
            "sent": tally.sent,
            "lost": tally.lost,
            "in_flight": tally.in_flight,
            "kinds": tally.kinds,
            "statuses": tally.statuses,
            "slowest_ms": round(tally.slowest * 1000, 1),
        }
        for event, tally in rows
    ]
    return json.dumps({"get": exchange.get, "post": exchange.post, "events": events})
