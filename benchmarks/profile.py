"""The time of a request in a rendered service, layer by layer: in one process, without sockets."""

import json
import subprocess
import tempfile
from dataclasses import dataclass

from benchmarks.subjects import PING, Subject

# Runs inside the environment of the service. What it measures it finds by following `.app` from the outermost layer inwards.
SCRIPT = """
import asyncio, gc, json, os, sys, time

sys.path.insert(0, os.getcwd())
from fastapi import FastAPI
from app.main import app

PATH = sys.argv[1]
QUIET = {"tracing": False, "metrics": False, "logs": False, "operation_spans": False}

def scope():
    return {
        "type": "http", "asgi": {"version": "3.0", "spec_version": "2.4"}, "http_version": "1.1", "method": "GET",
        "server": ("127.0.0.1", 8000), "client": ("127.0.0.1", 50000), "scheme": "http", "root_path": "", "path": PATH,
        "raw_path": PATH.encode(), "query_string": b"", "headers": [(b"host", b"127.0.0.1:8000")], "state": {},
    }

async def receive():
    return {"type": "http.request", "body": b"", "more_body": False}

async def send(message):
    pass

def plain(**options):
    bare = FastAPI(**options)
    @bare.get(PATH)
    async def ping() -> dict[str, str]:
        return {"message": "pong"}
    return bare

def layers():
    layer = app.outermost
    while layer is not None:
        yield getattr(type(layer), "__name__", "?"), layer
        layer = getattr(layer, "app", None)

async def cost(application, times=2000):
    begun = time.perf_counter()
    for _ in range(times):
        await application(scope(), receive, send)
    return (time.perf_counter() - begun) / times * 1e6

async def main():
    subjects = [("bare FastAPI()", plain()), ("bare, telemetry off", plain(telemetry=QUIET)), ("rendered, whole", app)]
    subjects += [(f"rendered, from {name} inwards", layer) for name, layer in layers() if name != "method"]
    subjects += [("rendered, framework only", lambda *call: FastAPI.__call__(app, *call))]
    best = {}
    for _ in range(7):
        for name, subject in subjects:
            best[name] = min(best.get(name, 1e9), await cost(subject))
    gc.collect()
    gc.disable()
    await cost(app, 1000)
    garbage = gc.collect() / 1000
    with open(sys.argv[2], "w") as result:
        json.dump([best, garbage], result)

try:
    import uvloop
    uvloop.run(main())
except ImportError:
    asyncio.run(main())
"""


@dataclass(frozen=True)
class Profile:
    """Microseconds per request from each layer inwards, best of several; and objects left to the cyclic garbage collector."""

    microseconds: dict[str, float]
    garbage: float


def profile(subject: Subject, environ: dict[str, str]) -> Profile:
    """Measure one subject."""
    # Not standard output: the access lines go there.
    with tempfile.NamedTemporaryFile("r") as result:
        subprocess.run(
            (str(subject.python), "-c", SCRIPT, PING, result.name),
            cwd=subject.folder,
            env=environ | dict(subject.environment),
            check=True,
            stdout=subprocess.DEVNULL,
        )
        return Profile(*json.load(result))
