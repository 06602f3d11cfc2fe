"""The hooks that gunicorn calls in the master, as `gunicorn.conf.py` names them."""

import logging
import os
from collections.abc import Callable
from typing import Any

from gunicorn.errors import HaltServer  # type: ignore[import-untyped]

from serving import capacity, listener, shared_state, systemd
from serving.systemd import Watchdog
from serving.worker import DrainWorker

# More than the time between two rounds of a stop, also on a machine that is busy.
EXTENSION_SECONDS = 10


def on_starting(server: Any) -> None:
    """Say what was decided, before anything is started."""
    measured = capacity.measure(os.environ)
    if measured.workers == server.cfg.workers:
        server.log.info("%d workers: %s", measured.workers, measured.reason)
    ignored = listener.ignored_port(os.environ)
    if ignored:
        server.log.warning("%s", ignored)


def when_ready(server: Any) -> None:
    """Attach to the two moments in the master's life that gunicorn has no hooks for."""
    systemd.notify(f"STATUS=Starting {server.num_workers} workers")
    server.stop = _telling_stop(server)

    watchdog = Watchdog.wanted(os.environ, server.cfg.timeout)
    if watchdog is None:
        return
    # gunicorn calls this in every round of its loop, at least once a second.
    look_at_heartbeats = getattr(server, "murder_workers", None)
    if look_at_heartbeats is None:
        systemd.notify("WATCHDOG_USEC=0")
        server.log.critical("Degraded: this gunicorn has no place to ping the watchdog from; off")
        return

    def look_and_ping() -> None:
        look_at_heartbeats()
        watchdog.check(server)

    server.murder_workers = look_and_ping


def post_fork(server: Any, worker: Any) -> None:
    """Tell the new worker how many there are; close what it inherited of its siblings."""
    # The application, which does not know its server, multiplies its connections by this.
    os.environ["WEB_CONCURRENCY"] = str(server.num_workers)
    for sibling in server.WORKERS.values():
        if isinstance(sibling, DrainWorker):
            sibling.crash_report.close()


def child_exit(server: Any, worker: Any) -> None:
    """Note that a dead worker does not serve, and log the traceback it left, if it left one."""
    if not isinstance(worker, DrainWorker):
        return
    shared_state.leave(worker.age)
    traceback = worker.crash_report.read()
    worker.crash_report.close()
    if traceback:
        log = server.log.error_log
        event = "Worker (pid %s) was ended while it did this"
        record = log.makeRecord(log.name, logging.CRITICAL, "", 0, event, (worker.pid,), None)
        record.exc_text = traceback
        log.handle(record)


def _telling_stop(server: Any) -> Callable[..., None]:
    stop, reap_workers = server.stop, server.reap_workers

    def reap_and_extend() -> None:
        reap_workers()
        # The unit's TimeoutStopSec knows the default of REQUEST_SECONDS only. A stop may take as
        # long as gunicorn says, and is too long when gunicorn says nothing any more.
        systemd.notify(f"EXTEND_TIMEOUT_USEC={EXTENSION_SECONDS * 1_000_000}")

    def telling_stop(*args: Any, **kwargs: Any) -> None:
        # Before any worker hears of it.
        shared_state.stop()
        systemd.notify("STOPPING=1", "STATUS=Draining")
        # gunicorn calls this ten times a second while it waits for its workers.
        server.reap_workers = reap_and_extend
        while True:
            try:
                stop(*args, **kwargs)
                break
            except HaltServer:
                # A second worker that could not start, found while stopping because of the first.
                # gunicorn 27.0 would end here with a traceback, exit code 1 and workers left over.
                continue
        # Those that ended, or were killed, in the last tenth of a second: gunicorn asks no more.
        while server.WORKERS:
            child_exit(server, server.WORKERS.popitem()[1])

    return telling_stop
