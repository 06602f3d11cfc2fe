"""
Clients that count what is lost.

Every ordinary client hides what we want to see: a retry on a reset connection turns a lost request
into a slow one. Here a request is written once. It is answered when a complete response with a
status below 500 arrives, and lost otherwise.
"""

import asyncio
import itertools
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Self

from proving.connection import Address, Connection, Lost
from proving.exchange import Exchange
from proving.tally import Tally

# A refused connection costs nothing: without a pause one outage would count thousands.
_AFTER_A_LOSS_SECONDS = 0.01


class Load:
    """
    Clients in a thread of their own: `kept` stay on a connection, `fresh` take new ones.

        with Load(address, exchange) as load:
            restart_the_service()
        assert load.tally.lost == 0

    Leaving the block ends the load after the requests that are under way; none is left uncounted.
    `pause` (seconds) is between two requests of a client: kept connections are idle now and then,
    as behind a real proxy, which is when a server that closes them loses requests.
    """

    def __init__(
        self,
        address: Address,
        exchange: Exchange,
        *,
        kept: int = 6,
        fresh: int = 2,
        pause: float = 0.01,
        patience: float = 60,
        first: int = 1,
    ) -> None:
        """No request takes longer than `patience`; `first` is the number of the first request."""
        self.tally = Tally()
        self._address, self._exchange = address, exchange
        self._kept, self._fresh, self._pause, self._patience = kept, fresh, pause, patience
        self._numbers = itertools.count(first)
        # When those requests were begun that are under way, by their numbers.
        self._begun: dict[int, float] = {}
        self._stopping, self._last_orders = threading.Event(), threading.Event()
        self._abandon: Callable[[], object] | None = None
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """End, when the requests under way have ended; at once, if something has gone wrong."""
        self._stopping.set()
        if kind is not None and self._abandon is not None:
            self._abandon()
        self._thread.join(self._patience * 2)
        if kind is None and self._failure is not None:
            raise self._failure

    def turn(self) -> Tally:
        """Return what was counted so far, and begin to count anew."""
        tally, self.tally = self.tally, Tally()
        return tally

    def go_on(self, seconds: float) -> None:
        """Return after so many seconds and an answer, or earlier when the load ends by itself."""
        self._thread.join(seconds)
        # On a busy machine the first answer takes longer; what nobody has seen is not proven.
        while self._thread.is_alive() and not self.tally.sent:
            time.sleep(0.01)

    def last_orders(self) -> None:
        """
        Let nobody connect any more; return when all who are connected have been answered once.

        What is left are connections that the service knows of, and that it has to see out.
        """
        self._last_orders.set()
        told = time.monotonic()
        while self._thread.is_alive() and min([*self._begun.values()], default=told) < told:
            time.sleep(0.01)

    def _run(self) -> None:
        try:
            asyncio.run(self._clients())
        except BaseException as error:  # Handed to the thread that leaves the block.
            self._failure = error

    async def _clients(self) -> None:
        everything, loop = asyncio.current_task(), asyncio.get_running_loop()
        if everything is not None:
            self._abandon = partial(loop.call_soon_threadsafe, everything.cancel)
        async with asyncio.TaskGroup() as clients:
            for number in range(self._kept + self._fresh):
                clients.create_task(self._client(number, keep=number < self._kept))

    async def _client(self, client: int, *, keep: bool) -> None:
        connection: Connection | None = None
        for method in itertools.cycle(self._exchange.methods):
            if connection is not None and connection.seen_closed:
                await connection.close()
                connection = None
            if self._stopping.is_set() or (connection is None and self._last_orders.is_set()):
                break
            connection = await self._ask(connection, method, client, keep=keep)
            await asyncio.sleep(self._pause)
        if connection is not None:
            await connection.close()

    async def _ask(
        self, connection: Connection | None, method: str, client: int, *, keep: bool
    ) -> Connection | None:
        """Send one request; return the connection to go on with, if there is one."""
        number, started = next(self._numbers), time.monotonic()
        request = self._exchange.request(method, number, client, close=not keep)
        self._begun[number] = started
        status: int | None = None
        kind: str | None = None
        try:
            async with asyncio.timeout(self._patience):
                connection = connection or await self._connect()
                status, _ = await connection.exchange(request)
                if status >= 500:
                    kind = str(status)
        except Lost as lost:
            kind = str(lost)
        except TimeoutError:
            kind = "timeout"
        del self._begun[number]
        self._note(method, number, started, status, kind)
        if status is None:
            await asyncio.sleep(_AFTER_A_LOSS_SECONDS)
        if connection is not None and (not keep or status is None or not connection.open):
            await connection.close()
            connection = None
        return connection

    async def _connect(self) -> Connection:
        return await Connection.to(self._address)

    def _note(
        self, method: str, number: int, started: float, status: int | None, kind: str | None
    ) -> None:
        self.tally.note(started, status, kind)
