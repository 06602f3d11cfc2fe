"""
The node that pods run on in these tests leaves nothing behind, and changes nothing that it does not say.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support import questions
from tests.support.containers.podman import GROUP, LOCK, Node, fit
from tests.support.processes import alive, wait_until

# One node at a time.
pytestmark = pytest.mark.xdist_group("pods")

FOLDER = LOCK.with_suffix("")
#: A process that starts a node, says so, and is killed.
KILLED = """
import time
from tests.support.containers.podman import Node
with Node() as node:
    print(node.leader, flush=True)
    time.sleep(60)
"""


def groups() -> list[Path]:
    """
    The control groups of a node, wherever Linux has some.
    """
    root = Path("/sys/fs/cgroup")
    return [path for path in (root / GROUP, *root.glob(f"*/{GROUP}")) if path.exists()]


def test_nothing_is_left() -> None:
    """
    Neither processes, nor mounts, nor control groups, nor files; and who was in its network is at home again.
    """
    home = os.readlink("/proc/thread-self/ns/net")
    with Node() as node:
        leader = node.leader
        assert groups()
        with node.entered():
            assert os.readlink("/proc/thread-self/ns/net") == os.readlink(f"/proc/{leader}/ns/net") != home
        assert os.readlink("/proc/thread-self/ns/net") == home
        assert str(FOLDER) not in Path("/proc/self/mounts").read_text()
    assert not alive(leader)
    assert not groups()
    assert not FOLDER.exists()


def test_what_was_killed_is_cleared_up() -> None:
    """
    A node ends with the process that made it, however that ends; the next one finds nothing of it in its way.
    """
    if os.geteuid() != 0:
        pytest.skip("root missing: no pod can be started")
    words = [sys.executable, "-c", KILLED]
    with subprocess.Popen(words, cwd=questions.ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        leader = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
    wait_until(lambda: not alive(leader), seconds=10, what="the end of its first process")
    with Node() as node:
        assert node.podman("pod", "ps", "--quiet").stdout == ""
    assert not groups()
    assert not FOLDER.exists()


def test_what_is_changed_for_podman_is_all_that_is_changed() -> None:
    """
    Everything else of a pod reaches it as the manifest says.
    """
    container = {"name": "api", "image": "some", "securityContext": {"readOnlyRootFilesystem": True}}
    probes: dict[str, Any] = {
        "ports": [],
        "startupProbe": {},
        "livenessProbe": {},
        "readinessProbe": {},
        "lifecycle": {},
    }
    volume = {"name": "secrets", "secret": {"secretName": "some", "optional": True}}
    pod = {"serviceAccountName": "some", "containers": [container | probes], "volumes": [volume]}
    job = {"kind": "Job", "metadata": {"name": "some-1"}, "spec": {"template": {"metadata": {}, "spec": pod}}}
    secret, fitted = fit([job, {"kind": "HorizontalPodAutoscaler"}], {"some": {"KEY": "value"}})
    assert (secret["kind"], secret["data"]) == ("ConfigMap", {"KEY": "value"})
    assert (fitted["kind"], fitted["metadata"]["name"]) == ("Pod", "some-1")
    mapped = {"name": "secrets", "configMap": {"name": "secret-some", "optional": True}}
    assert fitted["spec"] == pod | {"containers": [container], "volumes": [mapped]}
