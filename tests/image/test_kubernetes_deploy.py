"""
The order of a deploy, with a `kubectl` that builds as the real one does and plays the cluster.

What it plays is the answers that the script asks for; no API has seen these requests.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.containers import tools
from tests.support.project import Project
from tests.support.projects import Projects
from tests.support.variants import of

# What a Job becomes is in a file beside it; a Job that is not there yet has no condition.
CLUSTER = """#!{python}
import json, os, subprocess, sys
from pathlib import Path

here, words = Path(__file__).parent, sys.argv[1:]
jobs = json.loads((here / "jobs.json").read_text())
with (here / "calls").open("a") as calls:
    calls.write(json.dumps(words) + "\\n")
if words[0] == "--namespace":
    words = words[2:]
match words:
    case ["kustomize", _]:
        os.execv("{kubectl}", ["kubectl", *words])
    case ["config", "current-context"]:
        print("a-cluster")
    case ["apply", "--filename", file]:
        built = Path(file).read_text()
        (here / "applied").mkdir(exist_ok=True)
        (here / "applied" / Path(file).name).write_text(built)
        outcome = (here / "outcome").read_text()
        for part in built.split("---"):
            if "kind: Job" in part:
                name = part.split("\\n  name: ")[1].split()[0]
                # As of a real one: the pod runs for a while before the Job has a condition.
                jobs.setdefault(name, ["", "", outcome])
        (here / "jobs.json").write_text(json.dumps(jobs))
    case ["get", "job", name, *options]:
        if name not in jobs and "--ignore-not-found" not in options:
            sys.exit(f"no job {{name}}")
        states = jobs.get(name, [""])
        print(states[0] if len(states) == 1 else states.pop(0))
        (here / "jobs.json").write_text(json.dumps(jobs))
    case ["delete", "job", name]:
        del jobs[name]
        (here / "jobs.json").write_text(json.dumps(jobs))
    case ["logs", *_]:
        print("sqlalchemy said no")
    case ["rollout", "status", *_]:
        sys.exit((here / "stuck").exists())
    case ["rollout", "undo", *_]:
        pass
    case ["get", "pods", *_]:
        print((here / "waiting").read_text() if (here / "waiting").exists() else "")
    case ["get", "replicasets", *_]:
        print((here / "replicasets").read_text())
    case _:
        sys.exit(f"not played: {{words}}")
"""


@dataclass
class Cluster:
    """
    A project, and the cluster that it deploys to.
    """

    project: Project
    folder: Path

    def run(self, script: str, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.project / f"scripts/{script}", *words],
            env={**os.environ, "STUCK_SECONDS": "2", **env, "PATH": f"{self.folder}:/usr/bin:/bin"},
            capture_output=True,
            text=True,
            timeout=60,
        )

    @property
    def steps(self) -> list[str]:
        """
        The changes to the cluster so far, without the questions.
        """
        path = self.folder / "calls"
        calls = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        path.unlink(missing_ok=True)
        verbs = [" ".join(words[2:] if words[0] == "--namespace" else words) for words in calls]
        verbs = [re.sub(r"(?<=--filename )\S*/", "", verb) for verb in verbs]
        return [verb for verb in verbs if verb.split()[0] in ("apply", "delete", "rollout")]

    def outcome(self, state: str) -> None:
        (self.folder / "outcome").write_text(state)

    def built(self, overlay: str) -> list[dict[str, Any]]:
        folder = self.project / f"deploy/kubernetes/overlays/{overlay}"
        done = subprocess.run([tools.kubectl(), "kustomize", folder], check=True, capture_output=True, text=True)
        return list(yaml.safe_load_all(done.stdout))


def cluster(projects: Projects, workplace: Path, **answers: str) -> Cluster:
    project = projects.render(of(targets=["kubernetes"], **answers)).copy(workplace / "project")
    folder = workplace / "cluster"
    folder.mkdir()
    (folder / "kubectl").write_text(CLUSTER.format(python=sys.executable, kubectl=tools.kubectl()))
    (folder / "kubectl").chmod(0o755)
    (folder / "jobs.json").write_text("{}")
    found = Cluster(project, folder)
    found.outcome("Complete")
    return found


BEFORE = "apply --filename before.yaml"
APPLY = "apply --filename overlay.yaml"
STATUS = "rollout status deployment/my-service"


def test_two_versions(projects: Projects, workplace: Path) -> None:
    """
    Each version is typed once, and its migration has succeeded before anything else of it is applied.
    """
    here = cluster(projects, workplace)
    jobs = []
    for version, registry in (("1.4.0", "registry.your-company.com"), ("v1.5.0-2-gabc1234", "localhost:5000/shop")):
        image = f"{registry}/api:{version}"
        done = here.run("kubernetes-deploy", "staging", image)
        assert done.returncode == 0, done.stderr
        assert f"{image}, to my-service-staging in a-cluster\n" in done.stdout
        assert here.steps == [BEFORE, APPLY, STATUS]
        assert image in (here.folder / "applied/overlay.yaml").read_text()
        assert image in (objects := str(here.built("staging")))
        assert f"'app.kubernetes.io/version': '{version}'" in objects
        (job,) = (o for o in here.built("staging/before") if o["kind"] == "Job")
        assert image in str(job)
        assert job["metadata"]["name"] == f"my-service-migrate-{version}"
        jobs.append(json.dumps(job).replace(image, "IMAGE").replace(version, "VERSION"))
    assert jobs[0] == jobs[1], "nothing else of a Job depends on the version"
    assert list(json.loads((here.folder / "jobs.json").read_text())) == [
        "my-service-migrate-1.4.0",
        "my-service-migrate-v1.5.0-2-gabc1234",
    ]
    # What is in git is deployed again, and the other overlay names its own version still.
    assert here.run("kubernetes-deploy", "staging").returncode == 0
    assert "0.1.0" in str(here.built("production"))
    assert not list(here.project.path.rglob("*.new"))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('newTag: &version "0.1.0"', 'newTag: "0.1.0"'),
        ("newName: registry.example.com/my-service", "# no name"),
        ("    newTag:", "  - name: sidecar\n    newName: somebody/sidecar\n    newTag:"),
    ],
    ids=["no-anchor", "no-name", "two-images"],
)
def test_an_overlay_that_says_something_else(projects: Projects, workplace: Path, old: str, new: str) -> None:
    """
    The message says so to the person who edited it; nothing is applied but what was asked for.
    """
    here = cluster(projects, workplace)
    release = here.project / "deploy/kubernetes/overlays/staging/release/kustomization.yaml"
    text = release.read_text()
    assert text.count(old) == 1
    # Without the anchor nothing may point to it.
    text = text.replace("*version", '"0.1.0"') if "&version" in old else text
    edited = text.replace(old, new)
    release.write_text(edited)
    done = here.run("kubernetes-deploy", "staging", "registry.your-company.com/my-service:1.4.0")
    assert done.returncode == 1
    assert "does not lead to registry.your-company.com/my-service:1.4.0" in done.stderr
    assert here.steps == []
    assert release.read_text() == edited


def test_a_build_that_fails_ends_it(projects: Projects, workplace: Path) -> None:
    """
    Before anything is applied: without a list of jobs nobody would be waited for.
    """
    here = cluster(projects, workplace)
    text = (here.folder / "kubectl").read_text()
    (here.folder / "kubectl").write_text(
        text.replace(
            'case ["kustomize", _]:',
            'case ["kustomize", folder] if "before" in folder:\n        sys.exit("cannot")\n    case ["kustomize", _]:',
        )
    )
    done = here.run("kubernetes-deploy", "staging", "registry.your-company.com/my-service:1.4.0")
    assert done.returncode
    assert here.steps == []


def test_a_failed_migration_is_no_rollout(projects: Projects, workplace: Path) -> None:
    """
    Its log is shown, nothing else is applied; once it is mended the same version can be deployed.
    """
    here = cluster(projects, workplace)
    here.outcome("FailureTarget Failed")
    done = here.run("kubernetes-deploy", "staging", "registry.your-company.com/my-service:1.4.0")
    assert done.returncode == 1
    assert "sqlalchemy said no" in done.stderr
    assert "Job my-service-migrate-1.4.0 failed. Nothing was rolled out" in done.stderr
    assert here.steps == [BEFORE]
    here.outcome("SuccessCriteriaMet Complete")
    assert here.run("kubernetes-deploy", "staging").returncode == 0
    assert here.steps == ["delete job my-service-migrate-1.4.0", BEFORE, APPLY, STATUS]


def test_a_migration_that_is_at_work_is_waited_for(projects: Projects, workplace: Path) -> None:
    """
    Two who deploy the same version at once share its Job.
    """
    here = cluster(projects, workplace)
    (here.folder / "jobs.json").write_text(json.dumps({"my-service-migrate-1.4.0": ["", "", "Complete"]}))
    assert here.run("kubernetes-deploy", "staging", "registry.your-company.com/my-service:1.4.0").returncode == 0
    assert here.steps == [BEFORE, APPLY, STATUS]


def test_a_cluster_that_does_not_answer_ends_it(projects: Projects, workplace: Path) -> None:
    """
    Nothing is rolled out when it cannot be known whether the migration has succeeded.
    """
    here = cluster(projects, workplace)
    text = (here.folder / "kubectl").read_text().replace('case ["get", "job", name, *', 'case ["get", "nothing", *')
    (here.folder / "kubectl").write_text(text)
    done = here.run("kubernetes-deploy", "staging", "registry.your-company.com/my-service:1.4.0")
    assert done.returncode != 0
    assert APPLY not in here.steps


def test_a_rollout_that_does_not_get_ready(projects: Projects, workplace: Path) -> None:
    """
    The command fails, and says how to go back; that applies and migrates nothing.
    """
    here = cluster(projects, workplace)
    (here.folder / "stuck").touch()
    done = here.run("kubernetes-deploy", "staging", "registry.your-company.com/my-service:1.4.0")
    assert done.returncode == 1
    assert "make kubernetes-rollback OVERLAY=staging" in done.stderr
    (here.folder / "stuck").unlink()
    assert here.steps == [BEFORE, APPLY, STATUS]
    (here.folder / "replicasets").write_text(HISTORY.format(second=1, tenth=""))
    done = here.run("kubernetes-rollback", "staging")
    assert done.returncode == 0, done.stderr
    assert here.steps == ["rollout undo deployment/my-service --to-revision=9", STATUS]
    assert "back to revision 9, shop/api:1.3.0, in my-service-staging\n" in done.stdout
    assert "still names registry.your-company.com/my-service:1.4.0" in done.stdout


# Of a cluster: in no order, and nothing where no pod is ready.
HISTORY = """\
9 shop/api:1.3.0 {second}
11 registry.your-company.com/my-service:1.4.0 {tenth}
2 shop/api:1.2.0
10 shop/api:1.3.1
"""


@pytest.mark.parametrize(
    ("history", "words", "revision"),
    [
        (HISTORY.format(second=3, tenth=""), (), "9"),
        (HISTORY.format(second="", tenth="3"), (), "10"),
        (HISTORY.format(second="1", tenth="2"), (), "9"),
        (HISTORY.format(second="1", tenth="2"), ("2",), "2"),
    ],
    ids=["newest-never-ready", "newest-serves", "half-way", "typed"],
)
def test_the_way_back(projects: Projects, workplace: Path, history: str, words: tuple[str, ...], revision: str) -> None:
    """
    It leads to what serves while the newest does not get ready, past others that never did; else to the one before.
    """
    here = cluster(projects, workplace)
    (here.folder / "replicasets").write_text(history)
    assert here.run("kubernetes-rollback", "staging", *words).returncode == 0
    assert here.steps == [f"rollout undo deployment/my-service --to-revision={revision}", STATUS]


@pytest.mark.parametrize(
    ("history", "words", "said"),
    [
        ("", (), "there is nothing before what runs"),
        ("1 shop/api:1.2.0 3\n", (), "there is nothing before what runs"),
        (HISTORY, ("7",), "there is no revision 7"),
    ],
    ids=["none", "one", "unknown"],
)
def test_there_is_no_way_back(
    projects: Projects, workplace: Path, history: str, words: tuple[str, ...], said: str
) -> None:
    """
    It says so and does nothing.
    """
    here = cluster(projects, workplace)
    (here.folder / "replicasets").write_text(history)
    done = here.run("kubernetes-rollback", "staging", *words)
    assert (done.returncode, here.steps) == (1, [])
    assert said in done.stderr


def test_a_migration_that_cannot_start(projects: Projects, workplace: Path) -> None:
    """
    An image that is not there ends the deploy after a minute, by name, not when the Job's own time is over.
    """
    here = cluster(projects, workplace)
    here.outcome("")
    (here.folder / "waiting").write_text("ImagePullBackOff")
    done = here.run("kubernetes-deploy", "staging", "registry.your-company.com/my-service:1.4.0")
    assert done.returncode == 1
    assert done.stdout.count("its pod waits: ImagePullBackOff") == 1
    assert "Job my-service-migrate-1.4.0 cannot start: ImagePullBackOff. Nothing was rolled out." in done.stderr
    assert here.steps == [BEFORE]


def test_a_migration_that_somebody_removes(projects: Projects, workplace: Path) -> None:
    """
    The command that waits for it says so, and nothing is rolled out.
    """
    here = cluster(projects, workplace)
    text = (here.folder / "kubectl").read_text()
    (here.folder / "kubectl").write_text(text.replace('jobs.setdefault(name, ["", "", outcome])', "pass"))
    done = here.run("kubernetes-deploy", "staging", "registry.your-company.com/my-service:1.4.0")
    assert done.returncode == 1
    assert "The cluster does not say how job my-service-migrate-1.4.0 is" in done.stderr
    assert here.steps == [BEFORE]


@pytest.mark.parametrize(
    ("env", "code", "said"),
    [
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, 0, "in the cluster of this pod"),
        ({"KUBERNETES_SERVICE_HOST": ""}, 1, "it does not know which cluster"),
    ],
    ids=["in-a-pod", "nowhere"],
)
def test_without_a_context(projects: Projects, workplace: Path, env: dict[str, str], code: int, said: str) -> None:
    """
    In a pod kubectl knows its cluster all the same; elsewhere nothing is written.
    """
    here = cluster(projects, workplace)
    text = (here.folder / "kubectl").read_text()
    (here.folder / "kubectl").write_text(text.replace('print("a-cluster")', 'sys.exit("error: no context")'))
    done = here.run("kubernetes-deploy", "staging", "registry.your-company.com/my-service:1.4.0", **env)
    assert (done.returncode, bool(here.steps)) == (code, not code)
    assert said in done.stdout + done.stderr
    assert ("1.4.0" in str(here.built("staging"))) == (not code)


def test_without_a_database_there_is_nothing_before(projects: Projects, workplace: Path) -> None:
    """
    The same script, and no Job.
    """
    here = cluster(projects, workplace, database="none")
    assert here.run("kubernetes-deploy", "staging", "registry.your-company.com/my-service:1.4.0").returncode == 0
    assert here.steps == [APPLY, STATUS]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "Say which overlay"),
        (("nowhere",), "Say which overlay"),
        (("staging/../production",), "Say which overlay"),
        (("staging",), "names no image of yours yet"),
        (("staging", "my-service"), "has to be name:version"),
        (("staging", "localhost:5000/my-service"), "has to be name:version"),
        (("staging", "registry/my-service:Release_1"), "has to be name:version"),
        (("staging", "registry/my-service:" + "1" * 45), "1 to 44 small letters"),
        (("staging", "registry/my-service@sha256:" + "0" * 64), "has to be name:version"),
        (("staging", "registry/my|service:1.4.0"), "has to be name:version"),
    ],
    ids=lambda value: "-".join(value)[:40] if isinstance(value, tuple) else "",
)
def test_what_cannot_be_deployed(projects: Projects, workplace: Path, words: tuple[str, ...], said: str) -> None:
    """
    It says what to type, before anything was written or asked.
    """
    here = cluster(projects, workplace)
    before = here.project.read("deploy/kubernetes/overlays/staging/release/kustomization.yaml")
    done = here.run("kubernetes-deploy", *words)
    assert done.returncode == 1
    assert said in done.stderr
    assert here.steps == []
    assert here.project.read("deploy/kubernetes/overlays/staging/release/kustomization.yaml") == before


def test_the_longest_version_fits_its_names(projects: Projects, workplace: Path) -> None:
    """
    A Job's name becomes a label of its pods, which has room for 63 characters.
    """
    here = cluster(projects, workplace)
    assert here.run("kubernetes-deploy", "staging", f"registry/my-service:{'1' * 44}").returncode == 0
    (job,) = (o for o in here.built("staging/before") if o["kind"] == "Job")
    assert len(job["metadata"]["name"]) == 63
