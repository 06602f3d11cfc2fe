"""gunicorn's worker: runs the drain server, and says truthfully whether it serves."""

import asyncio
import os
import signal
import sys
import time
from typing import Any, ClassVar

from gunicorn.arbiter import Arbiter  # type: ignore[import-untyped]
from gunicorn.errors import AppImportError  # type: ignore[import-untyped]
from uvicorn_worker import UvicornWorker  # type: ignore[import-untyped]

from serving import compatibility, shared_state, systemd
from serving.crash_report import CrashReport
from serving.readiness import DrainingReadiness, GateConditions, ReadinessGate, StartupListener
from serving.server import DrainServer
from serving.timeouts import Phases

# gunicorn stops the whole service when a worker exits with one of these.
_HALTING = (Arbiter.WORKER_BOOT_ERROR, Arbiter.APP_LOAD_ERROR)

# uvicorn's own interval.
PING_SECONDS = 20.0


class DrainWorker(UvicornWorker):  # type: ignore[misc]
    """uvicorn under gunicorn, leaving gracefully; see `DrainServer`."""

    CONFIG_KWARGS: ClassVar[dict[str, Any]] = {
        # The heartbeat is considered once a second; less than that means that none is skipped.
        "timeout_notify": 0.5,
        "server_header": False,
        # The application decides whom to believe, so that it does under every server.
        "proxy_headers": False,
        # What uvicorn would find out, had it not our DrainingReadiness to look at.
        "interface": "asgi3",
    }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Runs in the master, before the fork."""
        super().__init__(*args, **kwargs)
        self.crash_report = CrashReport(self.cfg.worker_tmp_dir)
        self.has_served = False
        self.phases = Phases.within(self.cfg.graceful_timeout)
        # gunicorn's graceful_timeout means nothing to uvicorn, which would wait for ever and be
        # killed before the application's shutdown. (A fraction is fine, whatever the annotation.)
        self.config.timeout_graceful_shutdown = self.phases.requests
        # A proxy waits for an idle WebSocket no longer than for a slow answer: a ping comes before.
        self.config.ws_ping_interval = min(PING_SECONDS, self.phases.requests)

    def init_signals(self) -> None:
        """Take the signals over from the master's handlers."""
        super().init_signals()
        self.crash_report.install()

    def init_process(self) -> None:
        """
        Load the application and serve; the boot guard stands around it.

        A worker that cannot start exits 3 or 4, and gunicorn then stops everything. That is right
        the first time. Later it would turn one dead worker and a broken file, or a dependency that
        is away, into an outage: so this one waits a second and exits 1, to be replaced.
        """
        try:
            super().init_process()
        except SystemExit as exit_:
            # Of uvicorn, which has logged why: the lifespan failed.
            if self.has_served or exit_.code not in _HALTING:
                raise
        except Exception as error:
            if self.has_served:
                raise
            message = getattr(error, "operator_message", None)
            if message is None and isinstance(error, AppImportError):
                message = str(error)
            if message is None:
                self.log.exception("The application cannot be loaded")
            elif shared_state.any_has_served() or shared_state.may_explain():
                self.log.error("%s", message)
        else:
            return
        if shared_state.any_has_served():
            self.log.error("This worker cannot start; others could, so another one is tried")
            time.sleep(1)
            sys.exit(1)
        sys.exit(Arbiter.WORKER_BOOT_ERROR)

    def run(self) -> None:
        """Serve until told to stop."""
        app = self.wsgi
        conditions = GateConditions.of(os.environ)
        if conditions.within and not shared_state.any_has_served():
            # Only at a first start: a worker that is replaced later must not wait for anything.
            app = ReadinessGate(app, conditions)
        readiness = DrainingReadiness(app, os.environ)
        self.config.app = readiness
        self.config.load()
        problems = compatibility.problems(self.config.http_protocol_class)
        if problems:
            self.log.critical(
                "Degraded to uvicorn's own server: %s. Lost: %s.",
                "; ".join(problems),
                compatibility.LOST,
            )
            readiness.app = StartupListener(readiness.app, self._serves)
            super().run()
            return
        with asyncio.Runner(loop_factory=self.config.get_loop_factory()) as runner:
            runner.run(self._drain_serve(readiness))

    async def _drain_serve(self, readiness: DrainingReadiness) -> None:
        # uvicorn would recycle whenever the number is reached; see _may_recycle.
        self.config.limit_max_requests = None
        server = DrainServer(
            self.config,
            readiness=readiness,
            phases=self.phases,
            master=self.ppid,
            on_serving=self._serves,
            on_leaving=self.crash_report.exit_after,
            recycle_after=self.max_requests,
            may_recycle=self._may_recycle,
            log=self.log.error_log,
        )
        # The master passes SIGINT on as SIGQUIT, which uvicorn does not know.
        signal.signal(signal.SIGQUIT, server.handle_exit)
        try:
            # The plain sockets, not gunicorn's wrappers: uvloop trips over those when closing them.
            await server.serve(sockets=[getattr(own, "sock", own) for own in self.sockets])
        except asyncio.CancelledError:
            if not server.told_to_stop:
                raise
            self.log.info("Told to stop before the application had started")
            return
        if not server.started and not server.told_to_stop:
            sys.exit(Arbiter.WORKER_BOOT_ERROR)

    def _serves(self) -> None:
        """Note that this worker serves, and if it is the last of the first ones, tell systemd."""
        self.has_served = True
        shared_state.enter(self.age)
        serving, wanted = shared_state.serving(), self.cfg.workers
        status = f"STATUS={serving} of {wanted} workers serve"
        if serving >= wanted:
            # Repeated whenever a replacement completes the number; systemd takes the first.
            systemd.notify("READY=1", status)
        else:
            systemd.notify(status)

    def _may_recycle(self) -> bool:
        """
        Let workers go one after the other: not while another one is missing.

        Under an even load they would all reach their number at about the same time, and clients
        would wait until the first replacement has started.
        """
        return shared_state.leave_in_turn(self.age, self.cfg.workers)
