"""
One budget for time, one for capacity: every rendered file that carries a number of it agrees with the others.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import Any

from tests.support.project import Project
from tests.support.projects import Projects
from tests.support.variants import Variant, each_value, pairwise, variants

# Evaluates the server's settings as gunicorn would, by the standard library alone: the hooks, which need gunicorn, do
# not decide any number.
SERVER = """
import json, os, runpy, sys
from unittest.mock import MagicMock
sys.path.insert(0, os.getcwd())
sys.modules["serving.hooks"] = MagicMock()
os.environ["LISTEN_PID"] = str(os.getpid())
conf = runpy.run_path("gunicorn.conf.py")
from serving.timeouts import Phases
phases = Phases.within(conf["graceful_timeout"], os.environ)
names = "backlog graceful_timeout keepalive timeout workers max_requests".split()
print(json.dumps({name: conf[name] for name in names} | {"phases": vars(phases)}))
"""


def server(project: Project, **environ: str) -> dict[str, Any]:
    """
    The settings that gunicorn.conf.py arrives at in an environment.
    """
    done = subprocess.run(
        [sys.executable, "-c", SERVER],
        cwd=project.path,
        env={"PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1", **environ},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def documented(project: Project) -> dict[str, str]:
    """
    The values in .env.example.
    """
    return dict(re.findall(r"^#? ?([A-Z][A-Z0-9_]*)=(.*)$", project.read(".env.example"), re.M))


def constant(project: Project, path: str, name: str) -> float:
    """
    The default of a settings field, as it stands in the code.
    """
    (number,) = re.findall(rf"^    {name}: .*= ([0-9.]+)$", project.read(path), re.M)
    return float(number)


@variants(each_value)
def test_times_form_a_ladder(projects: Projects, variant: Variant) -> None:
    """
    Dependencies < deadline < proxy < worker < master < service manager, and each file says the same.
    """
    project, facts = projects.render(variant), variant.facts
    seconds = facts["request_seconds"]
    assert constant(project, "app/core/http_settings.py", "request_seconds") == seconds
    assert documented(project)["REQUEST_SECONDS"] == str(seconds)

    conf = server(project)
    phases = conf["phases"]
    assert isinstance(phases, dict)
    assert phases["accept"] == facts["accept_seconds"]
    assert phases["lame_duck"] == facts["lame_duck_seconds"]
    assert conf["graceful_timeout"] == facts["graceful_seconds"] == phases["accept"] + phases["lame_duck"] + seconds + 3
    assert phases["requests"] == facts["worker_seconds"] >= seconds
    assert facts["stop_seconds"] >= facts["graceful_seconds"] + 10
    assert seconds < facts["proxy_read_seconds"]

    assert conf["keepalive"] == facts["keepalive_seconds"] > facts["lame_duck_seconds"] > facts["proxy_idle_seconds"]
    assert documented(project)["KEEP_ALIVE_SECONDS"] == str(facts["keepalive_seconds"])
    assert documented(project)["LAME_DUCK_SECONDS"] == str(facts["lame_duck_seconds"])

    if facts["has_database"]:
        assert constant(project, "app/database/settings.py", "seconds") == facts["database_seconds"] < seconds
        assert documented(project)["DATABASE_SECONDS"] == str(facts["database_seconds"])


#: How a file of deploy/ or docs/ states a number of the ladder, and which one it is. Every match counts, also those of examples.
STATED = (
    (r"gunicorn\.conf\.py\); 10 s more (?:[^\n]*\n){2}TimeoutStopSec=(.+)$", "unit_stop_seconds"),
    (r"^Backlog=(.+)$", "backlog"),
    (r"longest orderly stop is (\d+) s (?:[^\n]*\n){2}TimeoutStopSec", "unit_graceful_seconds"),
    (r"longest orderly stop is (\d+) s [^\n]*\nstop_signal", "graceful_seconds"),
    (r"^stop_timeout_secs = (.+)$", "stop_seconds"),
    (r"^# REQUEST_SECONDS=(.+)$", "request_seconds"),
    # docs/limits.md, the runbook
    (r"^\| (\d+) \| a request without an answer is cancelled", "request_seconds"),
    (r"^\| (\d+) \| [^|]+ gives up waiting for an answer", "proxy_read_seconds"),
    (r"^\| (\d+) \| the longest orderly stop: 3 ", "unit_graceful_seconds"),
    (r"^\| (\d+) \| the longest orderly stop: 5 ", "graceful_seconds"),
    (r"^\| (\d+) \| systemd ends it by force", "unit_stop_seconds"),
    (r"^\| (\d+) \| [^|]+ closes an idle connection first", "proxy_idle_seconds"),
    (r"^\| (\d+) \| … before a stopping run does", "lame_duck_seconds"),
    (r"^\| (\d+) \| the service closes an idle connection", "keepalive_seconds"),
    (r"^\| body of a request \| (\d+) bytes", "body_limit_bytes"),
    (r"^\| waiting connections \| (\d+) \|", "backlog"),
    (r"a stop that took over (\d+) s", "unit_stop_seconds"),
    # nginx
    (r"\bproxy_(?:read|send)_timeout (\d+)s;", "proxy_read_seconds"),
    (r"^upstream [^}]*\bkeepalive_timeout (\d+)s;", "proxy_idle_seconds"),
    (r"\bclient_max_body_size (\S+);", "body_limit_bytes"),
    (r"^limit_req_zone .* rate=(\d+)r/s;", "edge_rate_per_second"),
    (r"\blimit_req .*\bburst=(\d+)", "edge_burst"),
    # Caddy
    (r"\bresponse_header_timeout (\d+)s$", "proxy_read_seconds"),
    (r"^\t+keepalive (\d+)s$", "proxy_idle_seconds"),
    (r"\bmax_size (\S+)$", "body_limit_bytes"),
    # Traefik
    (r"\bresponseHeaderTimeout: (\d+)s$", "proxy_read_seconds"),
    (r"\bidleConnTimeout: (\d+)s$", "proxy_idle_seconds"),
    (r"^ +average: (\d+)$", "edge_rate_per_second"),
    (r"^ +burst: (\d+)$", "edge_burst"),
    # what comments in proxies' files say
    (r"itself answers 504 after (\d+) s", "request_seconds"),
    (r"run that stops(?: does, which waits| closes idle connections after) (\d+) s", "lame_duck_seconds"),
    (r"RATE_LIMIT_PER_SECOND=(\S+)$", "app_rate_per_second"),
)
#: Where each has to be stated at least once, by the fact that brings the file.
REQUIRED = {
    "has_vm": ("unit_stop_seconds", "unit_graceful_seconds", "backlog", "request_seconds"),
    "has_oxmgr": ("stop_seconds",),
    "has_caddy": ("proxy_read_seconds", "proxy_idle_seconds", "body_limit_bytes"),
    "has_traefik": ("proxy_read_seconds", "proxy_idle_seconds", "edge_rate_per_second", "edge_burst"),
    "has_app_rate": ("app_rate_per_second",),
    "has_nginx": ("proxy_read_seconds", "proxy_idle_seconds", "body_limit_bytes", "edge_rate_per_second", "edge_burst"),
}
#: What docs/limits.md states.
LIMITS = (
    "request_seconds",
    "proxy_read_seconds",
    "keepalive_seconds",
    "unit_graceful_seconds",
    "unit_stop_seconds",
    "body_limit_bytes",
    "backlog",
)


@variants(pairwise)
def test_what_deploys_agrees(projects: Projects, variant: Variant) -> None:
    """
    Units, proxies and documents state the numbers that the server has.
    """
    project, facts = projects.render(variant), variant.facts
    texts = {name: project.read(name) for name in project.tree() if name.startswith(("deploy/", "docs/", ".env"))}
    stated = [
        (fact, name, found)
        for pattern, fact in STATED
        for name, text in texts.items()
        for found in re.findall(pattern, text, re.M)
    ]
    wrong = [
        f"{name}: {found}, not {facts[fact]} ({fact})" for fact, name, found in stated if found != str(facts[fact])
    ]
    assert not wrong, "\n".join(wrong)
    for feature, required in REQUIRED.items():
        if facts[feature]:
            assert set(required) <= {fact for fact, name, _ in stated if not name.startswith("docs/")}
    if facts["has_vm"]:
        required = (*LIMITS, "proxy_idle_seconds") if facts["has_edge"] else LIMITS
        assert set(required) <= {fact for fact, name, _ in stated if name == "docs/limits.md"}


@variants(pairwise)
def test_the_unit_waits_long_enough(projects: Projects, variant: Variant) -> None:
    """
    systemd kills nothing that would have ended by itself, and gives up no worker that gunicorn is still replacing.
    """
    if not variant.facts["has_vm"]:
        return
    project = projects.render(variant)
    unit = dict(re.findall(r"^(\w+)=(.*)$", project.read("deploy/systemd/service@.service"), re.M))
    conf = server(project, LISTEN_FDS="1")
    assert conf["graceful_timeout"] == variant.facts["unit_graceful_seconds"]
    assert int(unit["TimeoutStopSec"]) >= conf["graceful_timeout"] + 10
    assert int(unit["WatchdogSec"]) > conf["timeout"]
    assert int(unit["MemoryMax"].removesuffix("%")) < 50


@variants(each_value)
def test_capacity_agrees(projects: Projects, variant: Variant) -> None:
    """
    Body limit, backlog, pool and threads are the same wherever they stand; nothing is recycled unless asked.
    """
    project, facts = projects.render(variant), variant.facts
    limit = facts["body_limit_bytes"]
    assert constant(project, "app/core/http_settings.py", "body_limit_bytes") == limit
    assert documented(project)["BODY_LIMIT_BYTES"] == str(limit)
    assert documented(project)["THREADS"] == f"{constant(project, 'app/core/http_settings.py', 'threads'):g}"

    conf = server(project, WEB_CONCURRENCY="3")
    assert conf["workers"] == 3
    assert conf["backlog"] == facts["backlog"]
    assert conf["max_requests"] == 0
    assert documented(project)["HEARTBEAT_SECONDS"] == str(conf["timeout"])

    if facts["has_database"]:
        for name in ("pool_size", "max_overflow"):
            value = constant(project, "app/database/settings.py", name)
            assert documented(project)[f"DATABASE_{name.upper()}"] == f"{value:g}"
