"""The use of each client: one table for all workers of the machine."""

from functools import lru_cache
from hashlib import blake2b

from app.rate_limit.client import client_key

SLOTS = 65536
SLOT_BYTES = 8
# In front of the slots. Without it, anybody could look for an address whose slots are a victim's.
SEED_BYTES = 16
SIZE = SEED_BYTES + SLOTS * SLOT_BYTES


class Table:
    """
    Decide who may send, from one number per client, as GCRA does.

    The number is the moment at which all that the client has sent is paid for at the allowed rate,
    in nanoseconds, because floats would refuse the last request of a burst now and then.
    A client is not stored but hashed to two slots. A slot that others use too says too much, never
    too little, so the lower of the two is believed: beside a thousand clients that are at their
    limit, one other in a thousand is held back with them.

    There is no lock: two workers that count one client in the same microsecond count one request.
    """

    def __init__(self, memory: memoryview) -> None:
        """`memory` has SIZE bytes, and other processes may have it too."""
        self.slots = memory[SEED_BYTES:SIZE].cast("q")
        seed = bytes(memory[:SEED_BYTES])

        # Hashing costs more than all the rest here, and clients come back.
        @lru_cache(maxsize=4096)
        def slots_of(client: str) -> tuple[int, int]:
            digest = blake2b(client_key(client), digest_size=8, key=seed).digest()
            return int.from_bytes(digest[:4]) % SLOTS, int.from_bytes(digest[4:]) % SLOTS

        self.slots_of = slots_of

    def count(self, client: str, now: int, interval: int, burst: int) -> int:
        """
        Count a request and return 0, or return the time until the next one is welcome.

        `interval` is the time between two requests at the allowed rate. What is refused does not
        count: whoever waits as long as told is served.
        """
        slots = self.slots
        first, second = self.slots_of(client)
        latest = now + interval * burst
        # Nobody can be later than that: such a number is of other limits, or from before a reboot.
        one = slots[first] if slots[first] <= latest else 0
        other = slots[second] if slots[second] <= latest else 0
        paid = max(now, min(one, other)) + interval
        if paid > latest:
            return paid - latest
        slots[first] = max(one, paid)
        slots[second] = max(other, paid)
        return 0
