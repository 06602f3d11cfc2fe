"""
The compose file as it is rendered: what every service of every variant has, and where secrets lie. tests/image runs it.
"""

from __future__ import annotations

import re
import subprocess
from typing import Any

import pytest
import yaml

from tests.support.project import Project
from tests.support.projects import Projects
from tests.support.variants import Variant, each_value, pairwise, variants

#: A pinned image of somebody else: a version of two numbers at least, and no distribution that is not the usual one.
PINNED = re.compile(r"[a-z0-9/-]+:v?[0-9]+(\.[0-9]+)+")
#: Services that end by themselves, or run only when asked for.
SHORT = {"migrate"}


def of_compose() -> list[Variant]:
    return [variant for variant in pairwise() if variant.facts["has_compose"]]


def loaded(project: Project, name: str = "compose.yaml") -> dict[str, Any]:
    """
    The file, with anchors and merges resolved; `${NAME:-default}` stays as it is written.
    """
    found: dict[str, Any] = yaml.safe_load(project.read(name))
    return found


def services(project: Project) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = loaded(project)["services"]
    return found


def default(value: object) -> str:
    """
    The value when nothing is set.
    """
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", str(value))


def seconds(value: str) -> int:
    return int(re.fullmatch(r"(\d+)s", value)[1])  # type: ignore[index]


@variants(of_compose)
def test_every_service_is_restricted(projects: Projects, variant: Variant) -> None:
    """
    Limits, bounded logs, nothing to write to and nothing to become: of each, also of those that run once.
    """
    for name, service in services(projects.render(variant)).items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert "privileged" not in service, name
        options = service["logging"]["options"]
        assert service["logging"]["driver"] == "json-file", name
        assert set(options) == {"max-size", "max-file"}, name
        limits = service["deploy"]["resources"]["limits"]
        assert set(limits) == {"cpus", "memory", "pids"}, name
        assert re.fullmatch(r"[0-9]+M", default(limits["memory"])), name
        assert service["restart"] == ("no" if name in SHORT else "unless-stopped"), name
        assert "docker.sock" not in str(service), name


@variants(of_compose)
def test_images_are_pinned(projects: Projects, variant: Variant) -> None:
    """
    The service's own image is what `current` says; all others have a version, or are what that one is built on.
    """
    project, slug = projects.render(variant), variant.facts["project_slug"]
    own = {f"{slug}:current", f"python:{variant.facts['python']}-slim"}
    for name, service in services(project).items():
        image = service["image"]
        assert image in own or PINNED.fullmatch(image), f"{name}: {image}"


@variants(of_compose)
def test_the_ladder_of_stops(projects: Projects, variant: Variant) -> None:
    """
    Docker waits longer than the server needs, and who stands before it as long.
    """
    facts, project = variant.facts, projects.render(variant)
    found = services(project)
    assert seconds(found["app"]["stop_grace_period"]) == facts["container_stop_seconds"] > facts["graceful_seconds"]
    for name in {"nginx", "caddy", "traefik"} & set(found):
        assert seconds(found[name]["stop_grace_period"]) > facts["proxy_read_seconds"], name


@variants(of_compose)
def test_only_the_edge_has_ports(projects: Projects, variant: Variant) -> None:
    """
    The proxy, or else the service on loopback.
    """
    found = services(projects.render(variant))
    ports = {name: service["ports"] for name, service in found.items() if "ports" in service}
    if variant.facts["has_edge"]:
        (name,) = ports
        assert name in {"nginx", "caddy", "traefik"}
        assert [default(port) for port in ports[name]] == ["80:80", "443:443"]
    else:
        port = variant.facts["port"]
        assert {name: [default(one) for one in of] for name, of in ports.items()} == {
            "app": [f"127.0.0.1:{port}-{port + 1}:{port}"]
        }


@variants(of_compose)
def test_the_database_is_out_of_reach(projects: Projects, variant: Variant) -> None:
    """
    Of the world, and of the proxy: in a network without a way out.
    """
    project = projects.render(variant)
    file, found = loaded(project), services(project)
    if not variant.facts["has_postgresql"]:
        assert "postgres" not in found
        assert "data" not in file["networks"]
        return
    assert found["postgres"]["networks"] == ["data"]
    assert file["networks"]["data"] == {"internal": True}
    near = {name for name, service in found.items() if "data" in service.get("networks", [])}
    assert near == {"app", "migrate", "postgres"}
    assert found["app"]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}


@variants(of_compose)
def test_secrets_are_files_that_nobody_commits_or_builds_in(
    projects: Projects, variant: Variant, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """
    Each in the directory that git ignores, and the build does not send.
    """
    project = projects.render(variant)
    secrets = loaded(project).get("secrets", {})
    assert set(secrets) == ({"DATABASE_URL", "POSTGRES_PASSWORD"} if variant.facts["has_postgresql"] else set())
    for name, secret in secrets.items():
        assert secret == {"file": f"deploy/compose/secrets/{name}"}
    for service in services(project).values():
        assert not {"DATABASE_URL", "POSTGRES_PASSWORD"} & set(service.get("environment", {}))
    # The build gets what is named there, and nothing else.
    rules = project.read(".dockerignore").splitlines()
    assert "*" in rules
    assert not [rule for rule in rules if rule.lstrip("!/").split("/")[0] in {"deploy", "**"} and rule.startswith("!")]
    if secrets:
        copy = project.copy(tmp_path_factory.mktemp("ignored") / "project")
        subprocess.run(["git", "init", "-q", str(copy.path)], check=True)
        paths = [secret["file"] for secret in secrets.values()]
        done = subprocess.run(["git", "-C", str(copy.path), "check-ignore", *paths], capture_output=True, text=True)
        assert done.stdout.split() == paths


def with_secrets() -> list[Variant]:
    return [variant for variant in each_value() if variant.facts["has_compose"] and variant.facts["has_postgresql"]]


@variants(with_secrets)
def test_prepare_makes_what_is_missing_and_touches_nothing_else(
    projects: Projects, variant: Variant, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """
    Existing files are kept, byte for byte; both have the same password.
    """
    project = projects.render(variant).copy(tmp_path_factory.mktemp("prepared") / "project")
    secrets = project / "deploy/compose/secrets"
    project.run("sh", "deploy/compose/make-secrets")
    first = {path.name: path.read_text() for path in secrets.iterdir()}
    assert set(first) == {".gitignore", "DATABASE_URL", "POSTGRES_PASSWORD"}
    assert secrets.stat().st_mode & 0o777 == 0o700
    assert f":{first['POSTGRES_PASSWORD']}@postgres:5432/" in first["DATABASE_URL"]
    assert len(first["POSTGRES_PASSWORD"]) >= 32
    project.run("sh", "deploy/compose/make-secrets")
    assert {path.name: path.read_text() for path in secrets.iterdir()} == first
    # An update that turns the option off takes the files around them along.
    (project / "deploy/compose/.gitignore").unlink()
    project.run("git", "init", "-q")
    paths = [f"deploy/compose/secrets/{name}" for name in sorted(first)]
    assert project.run("git", "check-ignore", *paths).stdout.split() == paths
    (secrets / "DATABASE_URL").write_text("mine")
    project.run("sh", "deploy/compose/make-secrets")
    assert (secrets / "DATABASE_URL").read_text() == "mine"
    # A password of its own would fit no URL that is there.
    (secrets / "POSTGRES_PASSWORD").unlink()
    done = project.run("sh", "deploy/compose/make-secrets", check=False)
    assert done.returncode == 1
    assert "POSTGRES_PASSWORD" in done.stdout
    assert (secrets / "DATABASE_URL").read_text() == "mine"
