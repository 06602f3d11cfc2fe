"""uvicorn's server, taught to leave without losing a request."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable
from logging import Logger
from socket import socket
from types import FrameType
from typing import Any

from uvicorn import Config
from uvicorn.server import Server

from serving import shared_state
from serving.readiness import DrainingReadiness
from serving.timeouts import Phases

# After SIGINT or SIGQUIT: how long running requests get, and then the application's shutdown. A
# person is waiting at a terminal.
QUICK_SECONDS = 0.4
QUICK_SHUTDOWN_SECONDS = 5.0

# Kept back from graceful_timeout to say that the application's shutdown hangs before the kill.
MARGIN_SECONDS = 0.5

# A web socket has no `cycle` at all; a connection without a request yet has one that is None.
_NO_CYCLE = object()


class DrainServer(Server):
    """
    Stop in phases (see `Phases`): accept on, lame duck, finish requests, application shutdown.

    TERM goes through all of them. INT and QUIT go straight to the end. A worker that is recycled or
    that has lost its master begins with the lame duck: others accept, or nobody should.

    uvicorn's own shutdown closes every idle connection in the moment it stops accepting. A request
    that is on its way on one of them is lost, and whoever sent it cannot know whether it was
    executed. Here an idle connection stays open for the lame duck; if a request comes, its answer
    says `Connection: close`, which ends the connection without a race.
    """

    def __init__(
        self,
        config: Config,
        *,
        readiness: DrainingReadiness,
        phases: Phases,
        master: int,
        on_serving: Callable[[], None],
        on_leaving: Callable[[float], None],
        recycle_after: int,
        may_recycle: Callable[[], bool],
        log: Logger,
    ) -> None:
        """
        Prepare to serve.

        `master` is the process id whose death ends this one. `on_serving` is called when the
        application has started, `on_leaving` with the seconds left to the process when it drains.
        After `recycle_after` requests it leaves as soon as `may_recycle` agrees.
        """
        super().__init__(config)
        self.quick = False
        self.told_to_stop = False
        self._readiness = readiness
        self._phases = phases
        self._master = master
        self._on_serving = on_serving
        self._on_leaving = on_leaving
        self._recycle_after = recycle_after
        self._may_recycle = may_recycle
        self._log = log
        self._starting: asyncio.Task[None] | None = None
        self._accept_until = 0.0
        self._deadline = 0.0
        self._cut_at = 0.0
        self._limit: asyncio.Timeout | None = None

    async def startup(self, sockets: list[socket] | None = None) -> None:
        """Start the application and accept connections."""
        if self.should_exit:
            return
        self._starting = asyncio.current_task()
        await super().startup(sockets)
        if self.started:
            self._on_serving()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """
        Take a signal to stop.

        uvicorn's own version notes the signal and raises it again at the end, so that the process
        dies of it; then neither atexit functions nor gunicorn's worker_exit hook run.
        """
        now = time.monotonic()
        if not self.told_to_stop:
            self.told_to_stop = True
            self._accept_until = now + self._phases.accept
            self._allow(self._phases.graceful)
        if sig != signal.SIGTERM and not self.quick:
            self.quick = True
            self._cut_at = now + QUICK_SECONDS
            self._allow(QUICK_SHUTDOWN_SECONDS)
        if shared_state.is_stopping():
            # Otherwise the service goes on (HUP, TTOU), and /ready speaks for the service.
            self._readiness.draining = True
        if self.quick or self._phases.accept == 0 or not self.started:
            self.should_exit = True
        if not self.started and self._starting is not None:
            self._starting.get_loop().call_soon_threadsafe(self._cancel_start, self._starting)

    async def on_tick(self, counter: int) -> bool:
        """Run ten times a second while serving; true ends it."""
        if os.getppid() != self._master and not self.should_exit:
            self._log.error("The master (pid %d) is gone: this worker stops", self._master)
            self._readiness.draining = True
            self.should_exit = True
        if shared_state.is_stopping() and not self.told_to_stop:
            # Until a new worker has handlers of its own, gunicorn's take its signals, and do
            # nothing. It would serve on, and be killed with what it has accepted.
            self.handle_exit(signal.SIGTERM, None)
        if self.told_to_stop and time.monotonic() >= self._accept_until:
            self.should_exit = True
        worn_out = self.server_state.total_requests >= self._recycle_after
        if worn_out and not self.should_exit and self._may_recycle():
            self._log.info("Recycled after %d requests", self.server_state.total_requests)
            self.should_exit = True
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        """Stop accepting, drain, and shut the application down, all within the time given."""
        if not self.told_to_stop:
            self._allow(self._phases.graceful)
        for server in self.servers:
            server.close()
        for listening in sockets or []:
            # The master, or systemd, still holds the socket: closing ours resets nothing.
            listening.close()

        ticking = asyncio.create_task(self._keep_ticking())
        try:
            await self._lame_duck()
            async with asyncio.timeout(self._time_left()) as self._limit:
                # Closes what is idle, waits for what is running (timeout_graceful_shutdown at
                # most), cancels what is left, ends the lifespan.
                await super().shutdown(None)
        except TimeoutError:
            self._log.critical("The application's shutdown did not end in time: abandoned")
        finally:
            ticking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await ticking

    async def _lame_duck(self) -> None:
        # on_tick composes the headers of every response to come from these, once a second; once
        # now, too. Both HTTP protocols close a connection whose answer says so.
        self.config.encoded_headers = [*self.config.encoded_headers, (b"connection", b"close")]
        await super().on_tick(0)
        told = set()
        ends = time.monotonic() + self._phases.lame_duck
        while not self.quick:
            for connection in list(self.server_state.connections):
                cycle: Any = getattr(connection, "cycle", _NO_CYCLE)
                if cycle is _NO_CYCLE:
                    if connection not in told:
                        told.add(connection)
                        connection.shutdown()  # Close code 1012: "service restart".
                elif cycle is not None and not cycle.response_started:
                    # A request that was running before: its answer was given the old headers.
                    cycle.default_headers = self.server_state.default_headers
            # Before the first look at the count: a connection accepted in the last moment is not
            # in it yet.
            await asyncio.sleep(0.05)
            if not self.server_state.connections or time.monotonic() >= ends:
                return

    async def _keep_ticking(self) -> None:
        """
        Go on with the heartbeat and the Date header: a worker that drains is not one that hangs.

        Without it gunicorn would kill a drain longer than its `timeout`. It is also what ends
        requests early when SIGINT or SIGQUIT arrives in the middle of a drain.
        """
        cancelled: set[asyncio.Task[None]] = set()
        while True:
            await super().on_tick(0)
            if self.quick and time.monotonic() >= self._cut_at:
                for task in self.server_state.tasks - cancelled:
                    task.cancel("the server was told to stop at once")
                    cancelled.add(task)
                for connection in list(self.server_state.connections):
                    connection.transport.close()
                if self._limit is not None:
                    self._limit.reschedule(asyncio.get_running_loop().time() + self._time_left())
            await asyncio.sleep(0.1)

    def _cancel_start(self, starting: asyncio.Task[None]) -> None:
        # Do not wait for an application that may never start. One that has started is shut down
        # like any other, and the connections that are being accepted at this moment are answered.
        event: asyncio.Event | None = getattr(self.lifespan, "startup_event", None)
        if event is None or not event.is_set():
            starting.cancel()

    def _allow(self, seconds: float) -> None:
        self._deadline = time.monotonic() + seconds
        # Its last resort comes later than the limit in shutdown, and before gunicorn's SIGKILL.
        self._on_leaving(seconds - MARGIN_SECONDS / 2)

    def _time_left(self) -> float:
        return max(self._deadline - MARGIN_SECONDS - time.monotonic(), 0)
