"""`python -m benchmarks`: measure, print a table, and write it beside its data."""

import argparse
import subprocess
import tempfile
from contextlib import ExitStack
from pathlib import Path

from benchmarks import once, subjects
from benchmarks.profile import profile
from benchmarks.report import Result, machine
from benchmarks.rounds import Target, compare
from benchmarks.running import WORKERS, Running
from benchmarks.subjects import PING
from tests.support.projects import Projects
from tests.support.variants import named


def main() -> None:
    """Measure what the arguments ask for."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=8, help="interleaved rounds (8)")
    parser.add_argument("--seconds", type=int, default=2, help="seconds of load per target and round (2)")
    parser.add_argument("--to", type=Path, default=Path(".cache/bench"), help="where to write bench.md and bench.json")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        result = measure(Path(folder), rounds=options.rounds, seconds=options.seconds)
    options.to.mkdir(parents=True, exist_ok=True)
    (options.to / "bench.json").write_text(result.json() + "\n")
    (options.to / "bench.md").write_text(result.markdown())
    print(result.markdown())


def measure(folder: Path, *, rounds: int, seconds: int) -> Result:
    """One run: everything on the same machine, the same interpreter, the same installed packages."""
    projects = Projects(folder)
    rendered = {name: projects.render(named(name)).sync() for name in ("minimal", "default", "maximal")}
    default = rendered["default"]
    # As in production: a development tool that happens to be installed may be imported, and counts as memory.
    environment = folder / "environment"
    default.run("uv", "sync", "--frozen", "--no-dev", env={"UV_PROJECT_ENVIRONMENT": str(environment)})
    python = environment / "bin" / "python"
    compared = [
        subjects.bare(folder / "bare", python),
        subjects.bare_on_ours(folder / "bare-on-ours", python, default),
        *(subjects.rendered(folder / "apps" / name, python, project) for name, project in rendered.items()),
    ]
    version = subprocess.run(
        (str(python), "-c", "import platform; print(platform.python_version())"),
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    here = machine(version)
    with (folder / "log").open("ab") as log:
        starts = [once.start(subject, log) for subject in compared]
        with ExitStack() as running:
            targets = []
            for subject in compared:
                service = running.enter_context(Running(subject, log))
                service.first_200(PING)
                service.wait_for_workers(PING)
                targets.append(Target(subject.name, service, PING))
                if subject.name == "default":
                    targets.append(Target("default, /health", service, "/health"))
            costs = compare(targets, rounds=rounds, seconds=seconds)
        render = once.render(projects.source, folder, default.environ(), log)
    stock = f"gunicorn app.main:app {' '.join(subjects.STOCK)} --workers {WORKERS} --keep-alive 75"
    ours = f"WEB_CONCURRENCY={WORKERS} gunicorn app.main:app"
    servers = {"bare": stock, "all others": f"{ours} (with the rendered gunicorn.conf.py and serving/)"}
    measured = next(subject for subject in compared if subject.name == "default")
    return Result(here, servers, costs, starts, render, profile(measured, default.environ()))


if __name__ == "__main__":
    main()
