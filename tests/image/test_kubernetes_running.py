"""
The manifests run: started from what `kubectl kustomize` prints, by Podman, with the real image and a real PostgreSQL.

Podman is no cluster. It starts pods and Jobs as the manifests say, restricted and limited as they say; what it is given differs in
what `tests/support/containers/podman.py` lists. Probes, preStop and grace are taken from the manifest and carried out here. Nothing
here schedules, scales, routes or filters: autoscaler, disruption budget, network policies, topology spread, Service, HTTPRoute and
Ingress are only checked against their schemas, in test_kubernetes_manifests.py.
"""

from __future__ import annotations

import contextlib
import copy
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from tests.image import ledger
from tests.image.pods import MIGRATION, Version, release, save
from tests.support import variants
from tests.support.balancer import Endpoints, Gateway
from tests.support.containers.engine import Engine
from tests.support.containers.podman import ADDRESS, Node, Pod
from tests.support.kubelet import Kubelet, terminate
from tests.support.load import Exchange, Load
from tests.support.processes import wait_until
from tests.support.projects import Projects
from tests.support.stack import Postgres
from tests.support.tally import Tally

pytestmark = pytest.mark.xdist_group("pods")

VARIANT = variants.of(targets=["container", "kubernetes"])
ITEMS = Exchange("/api/v1/items?limit=1", "/api/v1/items")
#: Of each load: two processors serve both pods, both loads and the database.
CLIENTS: Mapping[str, Any] = {"kept": 6, "fresh": 2, "pause": 0.005, "patience": 6}
#: What the policy would decide, without being told.
MEASURE = "import os; from serving import capacity; print(capacity.measure(os.environ))"
#: Whoever runs a bare server in a pod runs it like this.
UVICORN = ("uvicorn", "app.main:app", "--host", "0.0.0.0", "--port", "8000", "--timeout-graceful-shutdown", "30")


@dataclass(frozen=True)
class Cluster:
    """
    A node, a database that its pods reach, and two versions to run.
    """

    node: Node
    postgres: Postgres
    database: str
    first: Version
    second: Version

    def query(self, sql: str) -> str:
        return self.postgres.query(self.database, sql)

    def migrate(self, version: Version) -> Pod:
        """
        Run the Job of a version to its end. It stays, as in a cluster.
        """
        __tracebackhide__ = True
        pod = self.node.play(*version.job)
        assert pod.wait() == 0, pod.logs()
        return pod


@pytest.fixture(scope="module")
def cluster(engine: Engine, projects: Projects, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """
    A node with nothing on it yet.
    """
    folder = tmp_path_factory.mktemp("pods")
    project = projects.render(VARIANT).sync()
    first = release(project, folder / "first", "1.0.0")
    second = release(project, folder / "second", "1.1.0", migration=MIGRATION)
    archive = folder / "images.tar"
    with Node() as node, contextlib.ExitStack() as closing:
        save(engine, archive, first, second)
        node.load(archive)
        archive.unlink()
        with node.entered():
            postgres = closing.enter_context(Postgres())
            database = postgres.create_database()
        node.publish(postgres.port, 5432)
        name = database.rsplit("/", 1)[-1]
        secret = {"DATABASE_URL": f"postgresql://postgres@{ADDRESS}/{name}"}
        node.secrets[project.facts["project_slug"]] = secret
        yield Cluster(node, postgres, database, first, second)


@pytest.fixture(scope="module")
def pod(cluster: Cluster) -> Iterator[Pod]:
    """
    The first version, migrated and ready.
    """
    with cluster.node.entered():
        cluster.migrate(cluster.first)
        with cluster.node.running(*cluster.first.service) as pod:
            Kubelet(cluster.first.template).wait_ready(pod)
            yield pod


@pytest.fixture(autouse=True)
def inside(cluster: Cluster) -> Iterator[None]:
    """
    Tests talk to pods.
    """
    with cluster.node.entered():
        yield


def test_it_keeps_the_contract(pod: Pod) -> None:
    """
    Probes by the manifest's paths, an answer, an error, and the database behind it.
    """
    assert pod.ask("/health").status == 200
    assert json.loads(pod.ask("/ready").body)["checks"]["database"]["status"] == "up"
    assert pod.exchange(ITEMS.request("POST", 0, close=True)).status == 201
    unknown = pod.ask("/nothing-here")
    assert (unknown.status, unknown.is_problem) == (404, True)
    assert unknown.headers["x-request-id"]


def test_it_is_confined(pod: Pod) -> None:
    """
    The security context is in force: seen from inside, by the process that serves.
    """
    status = dict(line.split(":\t", 1) for line in pod.exec("cat", "/proc/1/status").stdout.splitlines())
    assert status["Name"] == "gunicorn"
    assert set((status["Uid"] + "\t" + status["Gid"]).split()) == {"10001"}
    assert {status[name].strip("0") for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {""}
    # The filter is Podman's own, as it does not read which one the manifest wants. It is what RuntimeDefault is.
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    mounts = [line.split() for line in pod.exec("cat", "/proc/mounts").stdout.splitlines()]
    writable = {place for _, place, _, options, *_ in mounts if "rw" in options.split(",")}
    # What every container has lies in memory, under /dev and /proc.
    assert {place for place in writable if not place.startswith(("/dev", "/proc", "/sys/fs/cgroup"))} == {"/tmp"}
    pod.exec("touch", "/tmp/here")
    assert pod.exec("ls", "/run/secrets").stdout.split() == ["DATABASE_URL"]
    assert "DATABASE_URL" not in pod.exec("cat", "/proc/1/environ").stdout


def test_its_limits_are_what_the_capacity_policy_reads(pod: Pod, cluster: Cluster) -> None:
    """
    One worker, because it is asked for; and one, because no more fit into what the manifest grants.
    """
    (container,) = cluster.first.template["spec"]["containers"]
    limits = container["resources"]["limits"]
    granted = pod.inspect()["HostConfig"]
    assert granted["Memory"] == int(limits["memory"].removesuffix("Mi")) * 2**20
    assert granted["CpuQuota"] == int(limits["cpu"]) * granted["CpuPeriod"]
    assert "1 workers: WEB_CONCURRENCY=1" in pod.logs()
    measured = pod.exec("env", "-u", "WEB_CONCURRENCY", "python", "-c", MEASURE).stdout
    assert measured.strip() == f"Capacity(workers=1, reason='{limits['cpu']} CPUs (cgroup quota)')"


def test_without_its_secret_it_says_what_is_missing(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The volume is optional, so that the service gets to say it; and it never answers.
    """
    monkeypatch.setattr(cluster.node, "secrets", {})
    with cluster.node.running(*cluster.second.service) as pod:
        wait_until(lambda: "DATABASE_URL: missing" in pod.logs(), seconds=20, what="the name of what is missing")
        assert not Kubelet(cluster.second.template).probe("startupProbe", pod)


def test_what_has_no_drain_is_seen_to_lose(pod: Pod, cluster: Cluster) -> None:
    """
    A bare uvicorn in the same pod, without preStop: this is what the test below is able to see.
    """
    documents = copy.deepcopy(cluster.first.service)
    deployment = next(one for one in documents if one["kind"] == "Deployment")
    deployment["metadata"]["name"] += "-bare"
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    container |= {"command": list(UVICORN), "lifecycle": {}}
    kubelet = Kubelet(deployment["spec"]["template"])
    with cluster.node.running(*documents) as bare:
        kubelet.wait_ready(bare)
        tally = leave(bare, kubelet, staying=pod)
    ledger.write(tally, "pod leaves, bare uvicorn, no preStop", "Service and gateway")
    assert tally.lost > 0


def test_a_second_version_takes_over_and_nothing_is_lost(pod: Pod, cluster: Cluster) -> None:
    """
    Its Job first, while the first version serves; then its pod; then the old one goes, and the load balancers hear of it late.
    """
    kubelet = Kubelet(cluster.second.template)
    before = len(cluster.query("SELECT name FROM items").splitlines())
    job = cluster.migrate(cluster.second)
    assert cluster.query("SELECT version_num FROM alembic_version") == "0002"
    with cluster.node.running(*cluster.second.service) as new:
        kubelet.wait_ready(new)
        tally = leave(pod, Kubelet(cluster.first.template), staying=new)
        ledger.write(tally, "pod leaves, preStop and drain", "Service and gateway")
    assert tally.lost == 0, tally.row("rollout", "pod", "drain")
    assert set(tally.statuses) == {200, 201}
    stored = cluster.query("SELECT name FROM items").splitlines()
    assert len(stored) == len(set(stored)) == before + len(tally.acknowledged)
    # A Job that has ended stays where it is, and the next one is not in its way.
    assert {"my-service-migrate-1.0.0", job.name} == {name for name in cluster.node.pods() if "migrate" in name}


def leave(leaving: Pod, kubelet: Kubelet, *, staying: Pod) -> Tally:
    """
    Load on two pods, of which one is told to go: both by connection and by request. It has to end by itself, in time.
    """
    endpoints = Endpoints(leaving.address, staying.address)
    with Gateway(endpoints) as gateway:
        through = [Load(address, ITEMS, **CLIENTS) for address in (endpoints.service, gateway.address)]
        with through[0], through[1]:
            for load in through:
                load.wait_for(100)
            code = terminate(
                kubelet.prestop,
                lambda: leaving.stop(grace=kubelet.grace - kubelet.prestop),
                lambda: endpoints.remove(leaving.address),
            )
            # It ended by itself, and was not killed when its grace was over.
            assert code == 0
            for load in through:
                load.wait_for(100)
    return through[0].tally + through[1].tally
