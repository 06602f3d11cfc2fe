"""
Two versions of the default service for Kubernetes: their images, and what `kubectl kustomize` makes of their manifests.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.support.containers import tools
from tests.support.containers.engine import Engine
from tests.support.project import Project

#: Where the images would be pulled from. The node has them already.
REGISTRY = "registry.test/pods"
#: What the second version adds: a column that the first one does not know.
MIGRATION = '''\
"""Colours."""

import sqlalchemy as sa
from alembic import op

revision: str = "0002"
down_revision: str = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go forward."""
    op.add_column("items", sa.Column("colour", sa.String(length=20), nullable=True))


def downgrade() -> None:
    """Go back."""
    op.drop_column("items", "colour")
'''


@dataclass(frozen=True)
class Version:
    """
    A version of the service, in an overlay of its manifests.
    """

    project: Project
    number: str
    overlay: str = "production"

    @property
    def image(self) -> str:
        return f"{REGISTRY}:{self.number}"

    def manifests(self, folder: str = "") -> list[Mapping[str, Any]]:
        """
        The objects that kubectl would apply: the overlay, or a folder in it.
        """
        path = self.project / "deploy/kubernetes/overlays" / self.overlay / folder
        done = subprocess.run([tools.kubectl(), "kustomize", path], capture_output=True, text=True, check=True)
        return list(yaml.safe_load_all(done.stdout))

    @property
    def service(self) -> list[Mapping[str, Any]]:
        """
        The Deployment and its ConfigMap. Its name is that of the ReplicaSet that a cluster makes of it: one per version.
        """
        documents = [one for one in self.manifests() if one["kind"] in {"ConfigMap", "Deployment"}]
        deployment = next(one for one in documents if one["kind"] == "Deployment")
        deployment["metadata"]["name"] += f"-{self.number.replace('.', '-')}"
        return documents

    @property
    def template(self) -> dict[str, Any]:
        """
        The pod in the Deployment.
        """
        return dict(next(one for one in self.service if one["kind"] == "Deployment")["spec"]["template"])

    @property
    def job(self) -> list[Mapping[str, Any]]:
        """
        The Job that has to succeed first.
        """
        return [one for one in self.manifests("before") if one["kind"] in {"ConfigMap", "Job"}]


def release(project: Project, folder: Path, number: str, *, migration: str = "") -> Version:
    """
    A copy of a project whose production overlay names this version, as scripts/kubernetes-deploy writes it.
    """
    copy = project.copy(folder)
    file = copy / "deploy/kubernetes/overlays/production/release/kustomization.yaml"
    text, count = re.subn(
        r"(newName: ).*(\n.*newTag: &version ).*", rf'\g<1>{REGISTRY}\g<2>"{number}"', file.read_text()
    )
    assert count == 1
    file.write_text(text)
    if migration:
        (copy / "migrations/versions/0002_colours.py").write_text(migration)
    return Version(copy, number)


def save(engine: Engine, archive: Path, *versions: Version) -> None:
    """
    Build their images, and write them into one archive.
    """
    for version in versions:
        engine.build(version.project, version.image, VERSION=version.number)
    engine.docker("save", "--output", archive, *(version.image for version in versions))
