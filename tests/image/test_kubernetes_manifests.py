"""
The manifests, as the real `kubectl kustomize` builds them: schemas, references, numbers, policy. No cluster is asked.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import jsonschema
import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml

from tests.support import questions
from tests.support.containers import tools
from tests.support.project import Project, uv
from tests.support.projects import Projects
from tests.support.variants import Variant, named, of, pairwise, variants

Object: TypeAlias = dict[str, Any]

OVERLAYS = ("staging", "production")
#: `preStop.sleep` is on in every cluster since the first of these.
VERSIONS = ("1.34.0", "1.35.0", "1.36.0", "1.37.0")
BASE = {
    ("ConfigMap", "{0}"),
    ("Deployment", "{0}"),
    ("HorizontalPodAutoscaler", "{0}"),
    ("NetworkPolicy", "{0}"),
    ("PodDisruptionBudget", "{0}"),
    ("Service", "{0}"),
    ("ServiceAccount", "{0}"),
}
WAYS = {
    "gateway": {("HTTPRoute", "{0}"), ("NetworkPolicy", "{0}-gateway")},
    "ingress": {("Ingress", "{0}"), ("NetworkPolicy", "{0}-ingress")},
}
BEFORE = {("Job", "{0}-migrate"), ("NetworkPolicy", "{0}-migrate"), ("ServiceAccount", "{0}-migrate")}
#: What a PostgreSQL grants out of the box: max_connections, less superuser_reserved_connections.
GRANTED = 100 - 3
#: Left for backups, monitoring and people.
OTHERS = 10

NAME = {"type": "string", "pattern": r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$"}
#: The fields of an HTTPRoute that these manifests use, and no others, as the reference of Gateway API v1 has them:
#: https://gateway-api.sigs.k8s.io/reference/spec/#httproute. No package of any registry brings its schemas.
ROUTE = {
    "type": "object",
    "required": ["apiVersion", "kind", "metadata", "spec"],
    "additionalProperties": False,
    "properties": {
        "apiVersion": {"const": "gateway.networking.k8s.io/v1"},
        "kind": {"const": "HTTPRoute"},
        "metadata": {"type": "object"},
        "spec": {
            "type": "object",
            "required": ["parentRefs", "hostnames", "rules"],
            "additionalProperties": False,
            "properties": {
                "parentRefs": {
                    "type": "array",
                    "minItems": 1,
                    "items": {
                        "type": "object",
                        "required": ["name"],
                        "additionalProperties": False,
                        "properties": {"name": NAME, "namespace": NAME, "sectionName": NAME},
                    },
                },
                "hostnames": {"type": "array", "minItems": 1, "maxItems": 16, "items": NAME},
                "rules": {
                    "type": "array",
                    "minItems": 1,
                    "items": {
                        "type": "object",
                        "additionalProperties": False,
                        "properties": {
                            "matches": {
                                "type": "array",
                                "items": {
                                    "type": "object",
                                    "additionalProperties": False,
                                    "properties": {
                                        "path": {
                                            "type": "object",
                                            "required": ["type", "value"],
                                            "additionalProperties": False,
                                            "properties": {
                                                "type": {"enum": ["Exact", "PathPrefix"]},
                                                "value": {"type": "string", "pattern": "^/"},
                                            },
                                        }
                                    },
                                },
                            },
                            "backendRefs": {
                                "type": "array",
                                "items": {
                                    "type": "object",
                                    "required": ["name", "port"],
                                    "additionalProperties": False,
                                    "properties": {"name": NAME, "port": {"type": "integer"}},
                                },
                            },
                            "timeouts": {
                                "type": "object",
                                "additionalProperties": False,
                                "properties": {
                                    "request": {"type": "string", "pattern": "^([0-9]{1,5}(h|m|s|ms)){1,4}$"},
                                    "backendRequest": {"type": "string", "pattern": "^([0-9]{1,5}(h|m|s|ms)){1,4}$"},
                                },
                            },
                        },
                    },
                },
            },
        },
    },
}

#: What checkov finds, and why it stays.
ACCEPTED = {
    "CKV_K8S_15": "IfNotPresent: no version is pushed twice, and a registry that is away must not stop a pod",
    "CKV_K8S_43": "the tag is the version, which is in the Job's name; a registry with immutable tags makes it a digest",
}


#: All that the manifests are made of, besides what is the same for everybody.
DECIDING = ("project_slug", "domain", "has_database", "request_seconds", "body_limit_bytes")


@cache
def clustered() -> tuple[Variant, ...]:
    """
    The pairwise variants with Kubernetes, one for each that has manifests of its own, and the longest of everything.
    """
    longest = of(
        targets=["kubernetes"],
        project_slug="a" * 31,
        domain="a.very-long.name-of-a-host.example.com",
        request_budget="600",
        body_limit="1024 MiB",
    )
    found: dict[tuple[Any, ...], Variant] = {}
    for variant in (*pairwise(), longest):
        if variant.facts["has_kubernetes"]:
            found.setdefault(tuple(variant.facts[fact] for fact in DECIDING), variant)
    return tuple(found.values())


@cache
def build(folder: Path) -> tuple[Object, ...]:
    """
    The objects that kubectl would apply.
    """
    done = subprocess.run([tools.kubectl(), "kustomize", folder], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not done.stderr, "a deprecated field"
    return tuple(yaml.safe_load_all(done.stdout))


def overlay(project: Project, name: str) -> tuple[Object, ...]:
    return build(project / f"deploy/kubernetes/overlays/{name}")


def one(objects: tuple[Object, ...], kind: str, name: str | None = None) -> Object:
    """
    The only object of a kind, or the one of a name.
    """
    (found,) = (o for o in objects if o["kind"] == kind and name in (None, o["metadata"]["name"]))
    return found


def container(workload: Object) -> Object:
    (found,) = workload["spec"]["template"]["spec"]["containers"]
    assert isinstance(found, dict)
    return found


def names(objects: tuple[Object, ...]) -> list[tuple[str, str]]:
    """
    Kind and name of each, without the parts that change: the hash of a ConfigMap, the version of a Job.
    """
    changing = {"ConfigMap": r"-[a-z0-9]{10}$", "Job": r"(?<=-migrate)-.*$"}
    return sorted((o["kind"], re.sub(changing.get(o["kind"], r"$^"), "", o["metadata"]["name"])) for o in objects)


def by_ingress(project: Project, workplace: Path) -> Project:
    """
    The same project with the other way in, as docs/kubernetes.md tells to choose it.
    """
    other = project.copy(workplace / "ingress")
    for name in OVERLAYS:
        path = other / f"deploy/kubernetes/overlays/{name}/kustomization.yaml"
        path.write_text(path.read_text().replace("- ../../gateway\n", "- ../../ingress\n"))
    return other


@variants(clustered)
def test_every_object_is_valid(projects: Projects, variant: Variant, workplace: Path) -> None:
    """
    Each overlay, by each way in, holds what it should, in its namespace, valid for each version of Kubernetes.
    """
    rendered, slug = projects.render(variant), variant.facts["project_slug"]
    checked = []
    for way, project in (("gateway", rendered), ("ingress", by_ingress(rendered, workplace))):
        for name in OVERLAYS:
            expected = BASE | WAYS[way]
            if variant.facts["has_database"]:
                expected = expected | {("NetworkPolicy", "{0}-database")}
            objects = overlay(project, name)
            assert names(objects) == sorted((kind, text.format(slug)) for kind, text in expected)
            if variant.facts["has_database"]:
                before = overlay(project, f"{name}/before")
                assert names(before) == sorted((kind, text.format(slug)) for kind, text in BEFORE)
                objects += before
            assert {o["metadata"]["namespace"] for o in objects} == {f"{slug}-{name}"}
            namespace = yaml.safe_load(project.read(f"deploy/kubernetes/overlays/{name}/namespace.yaml"))
            assert namespace["metadata"]["name"] == f"{slug}-{name}"
            assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
            checked += [namespace, *objects]
    for text in {json.dumps(found, sort_keys=True) for found in checked}:
        validate(text)


@cache
def validate(text: str) -> None:
    """
    By its schema, in which no unknown field has a place.
    """
    found = json.loads(text)
    # A label is at most 63 characters, and so is a name from which one is made: the Job's, the Service's.
    assert len(found["metadata"]["name"]) <= 63
    assert all(len(value) <= 63 for value in found["metadata"].get("labels", {}).values())
    if found["kind"] == "HTTPRoute":
        jsonschema.validate(found, ROUTE)
        return
    for version in VERSIONS:
        kubernetes_validate.validate(found, version, strict=True)


@variants(clustered)
def test_objects_find_each_other(projects: Projects, variant: Variant, workplace: Path) -> None:
    """
    Selectors select, names of ports exist, accounts and settings are there, and a migration gets no traffic.
    """
    project, slug = projects.render(variant), variant.facts["project_slug"]
    ways = {"HTTPRoute": project, "Ingress": by_ingress(project, workplace)}
    for name in OVERLAYS:
        for kind, way in ways.items():
            objects = overlay(way, name)
            deployment, service = one(objects, "Deployment"), one(objects, "Service")
            pod = deployment["spec"]["template"]
            labels, ports = pod["metadata"]["labels"], container(deployment)["ports"]
            selectors = [
                deployment["spec"]["selector"]["matchLabels"],
                service["spec"]["selector"],
                one(objects, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
                *(o["spec"]["podSelector"]["matchLabels"] for o in objects if o["kind"] == "NetworkPolicy"),
                *(c["labelSelector"]["matchLabels"] for c in pod["spec"]["topologySpreadConstraints"]),
            ]
            assert all(selector.items() <= labels.items() for selector in selectors)
            assert not any("app.kubernetes.io/version" in selector for selector in selectors), (
                "a new one could not roll"
            )

            assert ports == [{"name": "http", "containerPort": variant.facts["port"]}]
            assert service["spec"]["ports"] == [{"name": "http", "port": 80, "targetPort": "http"}]
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                assert container(deployment)[probe]["httpGet"]["port"] == "http"
            inward = one(objects, "NetworkPolicy", f"{slug}-{'gateway' if kind == 'HTTPRoute' else 'ingress'}")
            assert inward["spec"]["ingress"][0]["ports"] == [{"protocol": "TCP", "port": "http"}]

            assert pod["spec"]["serviceAccountName"] == one(objects, "ServiceAccount")["metadata"]["name"]
            assert container(deployment)["envFrom"] == [
                {"configMapRef": {"name": one(objects, "ConfigMap")["metadata"]["name"]}}
            ]
            autoscaler = one(objects, "HorizontalPodAutoscaler")["spec"]
            assert autoscaler["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": slug}
            assert "replicas" not in deployment["spec"], "each apply would undo what the autoscaler decided"
            budget = one(objects, "PodDisruptionBudget")["spec"]["maxUnavailable"]
            assert budget < autoscaler["minReplicas"] < autoscaler["maxReplicas"]
            host = variant.facts["domain"] if name == "production" else f"staging.{variant.facts['domain']}"
            check_way_in(one(objects, kind), host, slug)
        if variant.facts["has_database"]:
            before = overlay(project, f"{name}/before")
            migrating = one(before, "Job")["spec"]["template"]
            assert not one(overlay(project, name), "Service")["spec"]["selector"].items() <= (
                migrating["metadata"]["labels"].items()
            )
            policy = one(before, "NetworkPolicy")["spec"]
            assert policy["podSelector"]["matchLabels"].items() <= migrating["metadata"]["labels"].items()
            # It runs before anything else of the overlay is there.
            assert migrating["spec"]["serviceAccountName"] == one(before, "ServiceAccount")["metadata"]["name"]
            assert "envFrom" not in container(one(before, "Job"))
            served = one(overlay(project, name), "NetworkPolicy", f"{slug}-database")["spec"]["egress"]
            assert served[0] in policy["egress"], "both reach the same database"


def check_way_in(way: Object, host: str, slug: str) -> None:
    """
    One host, everything below it, to the Service.
    """
    if way["kind"] == "HTTPRoute":
        (rule,) = way["spec"]["rules"]
        assert way["spec"]["hostnames"] == [host]
        assert rule["backendRefs"] == [{"name": slug, "port": 80}]
        assert rule["matches"] == [{"path": {"type": "PathPrefix", "value": "/"}}]
        return
    (rule,) = way["spec"]["rules"]
    (path,) = rule["http"]["paths"]
    assert "annotations" not in way["metadata"]
    assert (rule["host"], way["spec"]["tls"][0]["hosts"]) == (host, [host])
    assert path["backend"]["service"] == {"name": slug, "port": {"name": "http"}}
    assert (path["path"], path["pathType"]) == ("/", "Prefix")


@variants(clustered)
def test_times_are_those_of_the_budget(projects: Projects, variant: Variant) -> None:
    """
    The probes, the sleep and the grace fit the ladder: see tests/render/test_budget.py for the rest of it.
    """
    project, facts = projects.render(variant), variant.facts
    documented = dict(re.findall(r"^#? ?([A-Z][A-Z0-9_]*)=(.*)$", project.read(".env.example"), re.M))
    for name in OVERLAYS:
        objects = overlay(project, name)
        deployment = one(objects, "Deployment")["spec"]
        pod, api = deployment["template"]["spec"], container(one(objects, "Deployment"))
        sleep = api["lifecycle"]["preStop"]["sleep"]["seconds"]
        assert sleep == facts["prestop_seconds"]
        grace = pod["terminationGracePeriodSeconds"]
        assert grace == facts["kubernetes_grace_seconds"] == sleep + facts["graceful_seconds"] + 5

        start, alive, ready = (api[f"{probe}Probe"] for probe in ("startup", "liveness", "readiness"))
        assert {start["httpGet"]["path"], alive["httpGet"]["path"]} == {"/health"}, "no dependency is asked"
        assert ready["httpGet"]["path"] == "/ready"
        assert taken(ready) < facts["accept_seconds"]
        assert ready["timeoutSeconds"] > float(documented["READY_CHECK_SECONDS"]), "or it never says what is down"
        assert ready["periodSeconds"] > float(documented["READY_CACHE_SECONDS"])
        # The server replaces a worker that hangs, and logs the guilty line, before the pod is restarted.
        assert taken(alive) > float(documented["HEARTBEAT_SECONDS"]) + 10
        assert taken(start) < deployment["progressDeadlineSeconds"]
        assert deployment["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": "25%"}
        (rule,) = one(objects, "HTTPRoute")["spec"]["rules"]
        assert rule["timeouts"] == {"request": f"{facts['proxy_read_seconds']}s"}
        (scratch,) = (volume["emptyDir"] for volume in pod["volumes"] if "emptyDir" in volume)
        assert scratch == {"sizeLimit": f"{facts['tmp_mebibytes']}Mi"}
        assert facts["tmp_mebibytes"] * 2**20 >= max(16 * facts["body_limit_bytes"], 64 * 2**20)
    stated = project.read("docs/kubernetes.md")
    assert f"schemas of Kubernetes {VERSIONS[0][:-2]} to {VERSIONS[-1][:-2]}" in stated
    for number, words in (
        (facts["graceful_seconds"], "the longest orderly stop"),
        (facts["kubernetes_grace_seconds"], "it is killed"),
        (facts["proxy_read_seconds"], "the gateway gives up"),
        (facts["keepalive_seconds"], "the service closes an idle connection"),
    ):
        assert re.search(rf"^\| {number} \| {words}", stated, re.M)


def taken(probe: Mapping[str, int]) -> int:
    """
    The seconds until a probe has failed for good.
    """
    return probe["periodSeconds"] * probe["failureThreshold"]


# Decides the number of workers as the service would, from the limits of a pod.
POLICY = """
import json, sys
from pathlib import Path
from serving import capacity
print(json.dumps([capacity.measure({"WEB_CONCURRENCY": value}, Path(sys.argv[1])).workers for value in sys.argv[2:]]))
"""


@pytest.mark.parametrize("name", OVERLAYS)
def test_the_capacity_policy_reads_one_worker(projects: Projects, workplace: Path, name: str) -> None:
    """
    One worker per pod: by the variable, and by the limits alone where somebody takes it out.
    """
    project = projects.render(named("maximal"))
    objects = overlay(project, name)
    resources = container(one(objects, "Deployment"))["resources"]
    assert one(objects, "ConfigMap")["data"]["WEB_CONCURRENCY"] == "1"
    assert resources["requests"]["memory"] == resources["limits"]["memory"]
    # The policy may not need the memory to say so.
    assert resources["limits"]["cpu"] == "1"
    cpus, mebibytes = int(resources["limits"]["cpu"]), int(resources["limits"]["memory"].removesuffix("Mi"))
    for path, text in {
        "proc/self/cgroup": "0::/\n",
        "sys/fs/cgroup/cgroup.controllers": "cpu memory\n",
        "sys/fs/cgroup/cpu.max": f"{cpus * 100_000} 100000\n",
        "sys/fs/cgroup/memory.max": f"{mebibytes * 2**20}\n",
    }.items():
        (workplace / path).parent.mkdir(parents=True, exist_ok=True)
        (workplace / path).write_text(text)
    found = project.run("python3", "-c", POLICY, workplace, "", "1", env={"PYTHONDONTWRITEBYTECODE": "1"})
    assert json.loads(found.stdout) == [1, 1]


@variants(clustered)
def test_every_variable_is_one_that_the_service_reads(projects: Projects, variant: Variant) -> None:
    """
    A variable that nobody reads would be a setting without an effect.
    """
    project = projects.render(variant)
    known = set(re.findall(r"^#? ?([A-Z][A-Z0-9_]*)=", project.read(".env.example"), re.M))
    for name in OVERLAYS:
        data = one(overlay(project, name), "ConfigMap")["data"]
        assert data.keys() <= known
        assert data["APP_ENV"] == "production"
        assert data["WEB_CONCURRENCY"] == "1"
        # With a range of everybody each client could say who it is.
        assert not re.search(r"/0\b|\*", data["TRUSTED_PROXIES"])
        if variant.facts["has_database"]:
            job = container(one(overlay(project, f"{name}/before"), "Job"))
            assert {entry["name"] for entry in job["env"]} <= known


def test_connections_fit_the_database(projects: Projects) -> None:
    """
    All pods there may be, twice for a rollout, and the Job, within what a PostgreSQL grants out of the box.
    """
    project = projects.render(of(targets=["kubernetes"]))
    for name in OVERLAYS:
        objects = overlay(project, name)
        data, pods = one(objects, "ConfigMap")["data"], one(objects, "HorizontalPodAutoscaler")["spec"]["maxReplicas"]
        each = int(data["DATABASE_POOL_SIZE"]) + int(data["DATABASE_MAX_OVERFLOW"])
        assert 2 * pods * int(data["WEB_CONCURRENCY"]) * each + 1 + OTHERS <= GRANTED


def test_a_new_value_is_a_rollout(projects: Projects, workplace: Path) -> None:
    """
    The ConfigMap's name depends on what it holds, and the pods name it.
    """
    project = projects.render(of(targets=["kubernetes"])).copy(workplace / "project")
    before = overlay(project, "production")
    path = project / "deploy/kubernetes/base/kustomization.yaml"
    path.write_text(path.read_text().replace("APP_ENV=production\n", "APP_ENV=production\n      - LOG_LEVEL=debug\n"))
    build.cache_clear()
    after = overlay(project, "production")
    old, new = (one(objects, "ConfigMap")["metadata"]["name"] for objects in (before, after))
    assert old != new
    assert container(one(after, "Deployment"))["envFrom"] == [{"configMapRef": {"name": new}}]
    assert (
        one(overlay(project, "staging"), "ConfigMap")["data"].items()
        >= {
            "DOCS_ENABLED": "true",
            "LOG_LEVEL": "debug",
        }.items()
    )


def walk(value: Any) -> Iterator[tuple[str, Any]]:
    """
    Every key of an object, at any depth, with what it holds.
    """
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key, inner
            yield from walk(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from walk(inner)


@variants(clustered)
def test_secrets_are_files_and_nowhere_else(projects: Projects, variant: Variant) -> None:
    """
    No manifest holds a secret's value or makes a variable of one: the pods mount what is in the cluster.
    """
    project, facts = projects.render(variant), variant.facts
    workloads = []
    for name in OVERLAYS:
        objects = overlay(project, name)
        workloads.append(one(objects, "Deployment"))
        if facts["has_database"]:
            objects += overlay(project, f"{name}/before")
            workloads.append(one(objects, "Job"))
        assert not [o for o in objects if o["kind"] == "Secret"]
        keys = dict(walk(list(objects)))
        assert not {"secretKeyRef", "secretRef", "stringData"} & keys.keys()
        assert "DATABASE_URL" not in keys
    for workload in workloads:
        (volume,) = (v for v in workload["spec"]["template"]["spec"]["volumes"] if "secret" in v)
        assert volume["secret"]["secretName"] == facts["project_slug"]
        # Not /run/secrets, which is the same place: clouds mount tokens below this name, and the kubelet, which makes room
        # for them, compares names.
        assert {"name": volume["name"], "mountPath": "/var/run/secrets", "readOnly": True} in (
            container(workload)["volumeMounts"]
        )


@variants(clustered)
def test_pods_are_restricted(projects: Projects, variant: Variant) -> None:
    """
    The `restricted` Pod Security Standard is met, and more: read-only, no token, no variables of others.
    """
    project, facts = projects.render(variant), variant.facts
    for name in OVERLAYS:
        workloads = [one(overlay(project, name), "Deployment")]
        accounts = [one(overlay(project, name), "ServiceAccount")]
        if facts["has_database"]:
            workloads.append(one(overlay(project, f"{name}/before"), "Job"))
            accounts.append(one(overlay(project, f"{name}/before"), "ServiceAccount"))
        assert {account["automountServiceAccountToken"] for account in accounts} == {False}
        for workload in workloads:
            pod = workload["spec"]["template"]["spec"]
            assert pod["securityContext"] == {
                "runAsNonRoot": True,
                "runAsUser": facts["image_user"],
                "runAsGroup": facts["image_user"],
                "seccompProfile": {"type": "RuntimeDefault"},
            }
            assert container(workload)["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert pod["automountServiceAccountToken"] is False
            assert pod["enableServiceLinks"] is False
            assert not {"hostNetwork", "hostPID", "hostIPC", "hostUsers", "initContainers"} & pod.keys()
            assert {kind for v in pod["volumes"] for kind in v if kind != "name"} <= {"secret", "emptyDir"}


def test_nothing_reaches_the_pods_unless_named(projects: Projects) -> None:
    """
    One policy shuts both directions; what the others open has an address or a namespace, and a port.
    """
    objects = overlay(projects.render(of(targets=["kubernetes"])), "production")
    policies = [o["spec"] for o in objects if o["kind"] == "NetworkPolicy"]
    shut = one(objects, "NetworkPolicy", "my-service")["spec"]
    assert (shut["policyTypes"], shut["ingress"]) == (["Ingress", "Egress"], [])
    database = one(objects, "NetworkPolicy", "my-service-database")["spec"]["egress"]
    assert [rule["ports"] for rule in database] == [[{"protocol": "TCP", "port": 5432}]]
    openings = [rule for policy in policies for way in ("ingress", "egress") for rule in policy.get(way, [])]
    assert len(openings) == 3
    for rule in openings:
        assert rule["ports"]
        peers = [*rule.get("from", []), *rule.get("to", [])]
        assert peers
        # Every namespace only where the port says who is meant.
        assert all(peer.get("ipBlock") or peer["namespaceSelector"] or rule in database for peer in peers)


def test_nothing_else_decides_about_the_manifests(projects: Projects) -> None:
    """
    They are the same whatever else was answered, such as the proxy: so a variant of each is enough for these tests.
    """
    trees: dict[tuple[Any, ...], dict[str, str]] = {}
    proxies = set()
    for variant in pairwise():
        if variant.facts["has_kubernetes"]:
            project = projects.render(variant)
            proxies.add(variant.facts["has_edge"] and variant.facts["edge_name"])
            tree = {name: project.read(name) for name in project.tree() if name.startswith("deploy/kubernetes/")}
            assert tree
            assert trees.setdefault(tuple(variant.facts[fact] for fact in DECIDING), tree) == tree, variant
    assert proxies == {"nginx", "Caddy", "Traefik", False}


def test_policy(projects: Projects, tmp_path: Path) -> None:
    """
    checkov finds what is accepted, each with its reason, and nothing else.
    """
    built = tmp_path / "built"
    for number, variant in enumerate((of(targets=["kubernetes"]), of(targets=["kubernetes"], database="none"))):
        project = projects.render(variant)
        for name in OVERLAYS:
            objects = overlay(project, name)
            objects += overlay(by_ingress(project, tmp_path / f"{number}-{name}"), name)[-2:]
            objects += overlay(project, f"{name}/before") if variant.facts["has_database"] else ()
            built.mkdir(exist_ok=True)
            (built / f"{number}-{name}.yaml").write_text(yaml.safe_dump_all(objects))
    words = ["run", "--frozen", "--isolated", "--no-default-groups", "--group", "policy", "checkov", "--directory"]
    options = ["--framework", "kubernetes", "--skip-download", "--compact", "--output", "json"]
    done = subprocess.run([uv(), *words, built, *options], cwd=questions.ROOT, capture_output=True, text=True)
    assert done.stdout, done.stderr
    report = json.loads(done.stdout)
    failed = {(check["check_id"], check["resource"]) for check in report["results"]["failed_checks"]}
    assert report["summary"]["resource_count"] >= 4 * 9
    assert report["summary"]["parsing_errors"] == 0
    assert {check for check, _ in failed} == ACCEPTED.keys(), sorted(failed)
    assert {resource.split(".")[0] for _, resource in failed} == {"Deployment", "Job"}
