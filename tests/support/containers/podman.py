"""
A node that runs pods: Podman on the manifests of Kubernetes, in namespaces of its own.

    with Node() as node:
        node.load(archive)
        with node.entered(), node.running(*documents) as pod:
            pod.ask("/ready")

`podman play kube` is no cluster, and Debian's (4.3) lacks a few things that any cluster has. `fit` says what is changed for it, and
why; all else of a pod is taken as it stands: image, user, capabilities, seccomp, read-only root, resources, volumes, variables. Probes,
preStop and grace are the kubelet's, and it is played by tests/support/kubelet.py.

Storage lies in memory; mounts, processes and networks are in namespaces that end with their first process. So nothing is left behind,
however the tests end.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import json
import os
import resource
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import pytest
import yaml

from tests.support import control_groups, failure, namespaces, processes
from tests.support.load import Answer, Connection
from tests.support.locks import locked

Document = Mapping[str, Any]

#: One at a time on a computer: its control group has a name.
LOCK = Path(tempfile.gettempdir()) / "steadfast-pods.lock"
#: Its control group, in every hierarchy there is.
GROUP = "steadfast-pods"
#: An address of the node that pods reach and Podman does not give to one: there is the database.
ADDRESS = "10.96.0.1"
#: Program → the package of Debian that has it. netavark has no program on PATH.
PROGRAMS = {
    "catatonit": "catatonit",
    "conmon": "conmon",
    "ip": "iproute2",
    "iptables": "iptables",
    "nsenter": "util-linux",
    "podman": "podman",
    "runc": "runc",
    "setpriv": "util-linux",
    "unshare": "util-linux",
}
#: The bridge that `podman play kube` makes for all pods, and the address it is given.
BRIDGE, BRIDGE_ADDRESS = "podman1", "02:00:00:00:00:01"
NETAVARK = Path("/usr/lib/podman/netavark")

# $1 is the folder. Podman calls its group libpod_parent, and a container asks for its own by the path that /proc/self/cgroup
# gives: so the group becomes the root of each hierarchy, by a namespace and by mounts. In the unified layout alone a process
# must not be in a group that has others below it, and need not be.
_OUTSIDE = """
for procs in /sys/fs/cgroup/*/GROUP/cgroup.procs; do
    [ ! -e "$procs" ] || echo 0 >"$procs"
done
exec unshare --cgroup --mount --pid --net --uts --ipc --fork --kill-child --mount-proc sh -c "$@"
""".replace("GROUP", GROUP)
_INSIDE = """
set -e
mount -t tmpfs -o size=75% tmpfs "$1"
mount -t tmpfs -o mode=0755 tmpfs /run
for hierarchy in /sys/fs/cgroup /sys/fs/cgroup/*; do
    [ ! -e "$hierarchy/GROUP" ] || mount --bind "$hierarchy/GROUP" "$hierarchy"
done
ip link set lo up
ip address add ADDRESS/32 dev lo
echo 1 >/proc/sys/net/ipv4/conf/all/route_localnet
touch "$1/up"
exec catatonit -P
""".replace("GROUP", GROUP).replace("ADDRESS", ADDRESS)

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def missing() -> list[str]:
    """
    The programs and rights that this machine lacks to start one.
    """
    lacking = [] if os.geteuid() == 0 else ["root"]
    lacking += [name for name in PROGRAMS if not shutil.which(name, path=_PATH)]
    return lacking if NETAVARK.exists() else [*lacking, "netavark"]


def fit(documents: list[Document], secrets: Mapping[str, Mapping[str, str]]) -> list[Document]:
    """
    The documents as Podman gets them: those it understands, and in them

    - a Secret as a ConfigMap: 4.3 mounts the values as they are encoded, and without `optional: false` it crashes
    - no container ports: it would publish them on the node, where two pods of one Deployment are in each other's way
    - no probes: it would ask by a curl that no slim image has, and by timers of a systemd that is not there
    - a Job as a Pod of its template, since it knows no Job

    `secrets` are those of the cluster; one that is not among them is absent.
    """
    fitted: list[Document] = [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"secret-{name}"}, "data": dict(values)}
        for name, values in secrets.items()
    ]
    for document in documents:
        if document["kind"] == "ConfigMap":
            fitted.append(document)
        if document["kind"] not in {"Deployment", "Job", "Pod"}:
            continue
        workload = copy.deepcopy(dict(document))
        spec = workload["spec"] if workload["kind"] == "Pod" else workload["spec"]["template"]["spec"]
        for container in spec["containers"]:
            for name in ("ports", "startupProbe", "livenessProbe", "readinessProbe", "lifecycle"):
                container.pop(name, None)
        for volume in spec.get("volumes", []):
            if "secret" in volume:
                secret = volume.pop("secret")
                optional = secret.get("optional", False)
                volume["configMap"] = {"name": f"secret-{secret['secretName']}", "optional": optional}
        if workload["kind"] == "Job":
            labels = workload["spec"]["template"]["metadata"].get("labels", {})
            metadata = {"name": workload["metadata"]["name"], "labels": labels}
            workload = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
        fitted.append(workload)
    return fitted


class Pod:
    """
    A pod of one container.
    """

    def __init__(self, node: Node, id: str) -> None:
        self.node = node
        self.id = id
        (pod,) = [json.loads(node.podman("pod", "inspect", id).stdout)]
        infra = pod["InfraContainerID"]
        self.name = str(pod["Name"])
        self.container = next(str(one["Id"]) for one in pod["Containers"] if one["Id"] != infra)
        (inspected,) = json.loads(node.podman("inspect", infra).stdout)
        networks = inspected["NetworkSettings"]["Networks"]
        self.address = (next(str(network["IPAddress"]) for network in networks.values()), 8000)

    def ask(self, path: str) -> Answer:
        """
        GET over a connection of its own; raises `Lost`.
        """
        return self.exchange(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())

    def exchange(self, request: bytes, *, seconds: float = 10) -> Answer:
        """
        Say something over a connection of its own; raises `Lost`.
        """

        async def talk() -> Answer:
            async with asyncio.timeout(seconds):
                connection = await Connection.to(self.address)
                try:
                    return await connection.exchange(request)
                finally:
                    await connection.close()

        return asyncio.run(talk())

    def exec(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """
        Run a command in its container.
        """
        __tracebackhide__ = True
        return self.node.podman("exec", self.container, *words, check=check)

    def logs(self) -> str:
        done = self.node.podman("logs", self.container, check=False)
        return done.stdout + done.stderr

    def inspect(self) -> dict[str, Any]:
        (found,) = json.loads(self.node.podman("inspect", self.container).stdout)
        return dict(found)

    def stop(self, *, grace: float) -> int:
        """
        Send what the image calls its stop signal, and KILL after the grace; the exit code.
        """
        __tracebackhide__ = True
        self.node.podman("stop", f"--time={grace:g}", self.container, timeout=grace + 30)
        return self.wait()

    def wait(self, *, seconds: float = 30) -> int:
        """
        Wait for the end of its container; the exit code.
        """
        __tracebackhide__ = True
        return int(self.node.podman("wait", self.container, timeout=seconds).stdout)


class Node:
    """
    Use as a context manager. Whoever talks to a pod has to be in the network of the node: `with node.entered():`.
    """

    def __init__(self) -> None:
        if absent := missing():
            pytest.skip(f"{', '.join(absent)} missing: no pod can be started")
        self.folder = LOCK.with_suffix("")
        self.secrets: dict[str, dict[str, str]] = {}
        self._closing = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as closing:
            closing.enter_context(locked(LOCK))
            # Of one that was killed, there is an empty one.
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder.mkdir(mode=0o700)
            closing.callback(shutil.rmtree, self.folder)
            _make_groups()
            closing.callback(control_groups.remove, GROUP)
            self._start()
            closing.callback(self._end)
            self._configure()
            self._closing = closing.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    # Its life

    def _start(self) -> None:
        # It ends with the thread that made it, and everything in it ends with its first process.
        words = ["setpriv", "--pdeathsig", "KILL", "sh", "-c", _OUTSIDE, "sh", _INSIDE, "sh", str(self.folder)]
        log = self.folder / "log"
        with log.open("wb") as output:
            self._outside = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )

        def is_up() -> bool:
            if self._outside.poll() is not None:
                pytest.fail(failure.frame(log.read_text(), title="the node did not start"), pytrace=False)
            self._leader = next(iter(processes.children(self._outside.pid)), 0)
            return bool(self._leader) and (self / "up").exists()

        processes.wait_until(is_up, seconds=20, what="the node is up")

    def _end(self) -> None:
        self._outside.kill()
        self._outside.wait(30)

    def _configure(self) -> None:
        """
        Everything that would be read from the machine's own configuration, or from its defaults.
        """
        # As root it would ask for the highest limits there are, and may lack the right to.
        limits = {"nofile": resource.RLIMIT_NOFILE, "nproc": resource.RLIMIT_NPROC}
        hard = {name: resource.getrlimit(number)[1] for name, number in limits.items()}
        ulimits = [f"{name}={limit}:{limit}" for name, limit in hard.items() if limit != resource.RLIM_INFINITY]
        (self / "containers.conf").write_text(
            f"[containers]\ndefault_ulimits = {json.dumps(ulimits)}\nlog_driver = 'k8s-file'\n"
            "[engine]\ncgroup_manager = 'cgroupfs'\nevents_logger = 'file'\nruntime = 'runc'\n"
            f"[network]\nnetwork_backend = 'netavark'\nnetwork_config_dir = '{self.folder}/networks'\n"
        )
        (self / "storage.conf").write_text(
            f"[storage]\ndriver = 'overlay'\ngraphroot = '{self.folder}/storage'\nrunroot = '/run/storage'\n"
        )

    @property
    def leader(self) -> int:
        """
        Its first process, as the host sees it.
        """
        return self._leader

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """
        Put this thread into the network of the node, with what it starts meanwhile.
        """
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        namespaces.enter_network(Path(f"/proc/{self._leader}/ns/net"))
        try:
            yield
        finally:
            namespaces.enter_network(Path(f"/proc/self/fd/{home}"))
            os.close(home)

    def __truediv__(self, name: str) -> Path:
        """
        A file of its folder, which only it sees.
        """
        return Path(f"/proc/{self._leader}/root") / str(self.folder).lstrip("/") / name

    # Its inside

    def run(
        self, *words: str | Path, check: bool = True, timeout: float = 120, input: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """
        Run a command in it. With `check`, a failure shows what it said.
        """
        __tracebackhide__ = True
        environment = {
            "PATH": _PATH,
            "LC_ALL": "C.UTF-8",
            "HOME": str(self.folder),
            "CONTAINERS_CONF": str(self.folder / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(self.folder / "storage.conf"),
        }
        enter = ["nsenter", f"--target={self._leader}", "--cgroup", "--mount", "--pid", "--net", "--uts", "--ipc"]
        done = subprocess.run(
            [*enter, *map(str, words)],
            stdin=subprocess.DEVNULL if input is None else None,
            input=input,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            env=environment,
            cwd="/",
        )
        if check and done.returncode:
            title = f"`{shlex.join(map(str, words))}` ended with {done.returncode}"
            pytest.fail(failure.frame(done.stdout + done.stderr, title=title), pytrace=False)
        return done

    def podman(
        self, *words: str | Path, check: bool = True, timeout: float = 120, input: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """
        Run Podman.
        """
        __tracebackhide__ = True
        return self.run("podman", f"--tmpdir={self.folder}/run", *words, check=check, timeout=timeout, input=input)

    def load(self, archive: Path) -> None:
        """
        Load the images that `docker save` has written.
        """
        __tracebackhide__ = True
        self.podman("load", "--quiet", "--input", archive)

    def publish(self, port: int, number: int) -> None:
        """
        Make a port of the node's 127.0.0.1 reachable for pods, as a number of ADDRESS.
        """
        nat = ("iptables", "--wait", "-t", "nat")
        tcp = ("-p", "tcp", "--dport")
        self.run(*nat, "-A", "PREROUTING", "-d", ADDRESS, *tcp, str(number), "-j", "DNAT", f"--to=127.0.0.1:{port}")
        # Who listens there believes what comes from there, and nobody else.
        self.run(*nat, "-A", "INPUT", "-d", "127.0.0.1", *tcp, str(port), "-j", "SNAT", "--to=127.0.0.1")

    def play(self, *documents: Document) -> Pod:
        """
        Start a Deployment, Job or Pod, with the ConfigMaps beside it. The pod stays until the end of the node.
        """
        __tracebackhide__ = True
        manifest = self / "manifest.yaml"
        manifest.write_text(yaml.safe_dump_all(fit(list(documents), self.secrets)))
        done = self.podman("play", "kube", self.folder / "manifest.yaml")
        # By itself the bridge takes the lowest address of its ports: when that one goes, those that stay talk to it for half a
        # minute more, and nobody hears them.
        self.run("ip", "link", "set", BRIDGE, "address", BRIDGE_ADDRESS)
        lines = [line.strip() for line in done.stdout.splitlines()]
        return Pod(self, lines[lines.index("Pod:") + 1])

    @contextlib.contextmanager
    def running(self, *documents: Document) -> Iterator[Pod]:
        """
        The same; it is removed at the end, and a failure within shows what it has logged.
        """
        pod = self.play(*documents)
        try:
            yield pod
        except BaseException as error:
            error.add_note(failure.frame(pod.logs(), title=f"pod {pod.name}"))
            raise
        finally:
            # One whose container starts again and again may be in the middle of it.
            words = ("pod", "rm", "--force", "--ignore", "--time=0", pod.id)
            processes.wait_until(
                lambda: self.podman(*words, check=False).returncode == 0, seconds=20, what=f"{pod.name} is removed"
            )

    def pods(self) -> list[str]:
        """
        The names of the pods there are, also of those that have ended.
        """
        return sorted(self.podman("pod", "ps", "--format={{.Name}}").stdout.split())


def _cpusets() -> list[Path]:
    """
    The hierarchies of cpusets in the old layout, whose groups are empty until they are furnished.
    """
    return [path.parent for path in Path("/sys/fs/cgroup").glob("*/cpuset.cpus")]


def _make_groups() -> None:
    control_groups.make(GROUP)
    for hierarchy in _cpusets():
        (hierarchy / GROUP).mkdir()
        for name in ("cpuset.cpus", "cpuset.mems"):
            (hierarchy / GROUP / name).write_text((hierarchy / name).read_text())
        (hierarchy / GROUP / "cgroup.clone_children").write_text("1")
