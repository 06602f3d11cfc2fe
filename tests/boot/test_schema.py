"""
The OpenAPI document tells the truth: schemathesis makes requests of it, and no answer is undocumented or a 5xx.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.boot.serving import BRIEFLY, Environment, each
from tests.support import failure
from tests.support.projects import Projects
from tests.support.variants import Variant, named

CHECKS = ",".join(
    (
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_headers_conformance",
        "response_schema_conformance",
        "unsupported_method",
    )
)


@each(lambda: [named("minimal"), named("default")])
def test_every_answer_is_documented(
    projects: Projects, variant: Variant, in_production: Environment, tmp_path: Path
) -> None:
    """
    Valid and invalid requests, from a fixed seed: each status, media type, header and body is in the document.
    """
    project = projects.render(variant).sync()
    with project.serve(env=BRIEFLY | in_production(project) | {"DOCS_ENABLED": "true"}) as service:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "schemathesis.cli", "run", f"{service.base_url}/openapi.json"),
                *("--checks", CHECKS, "--seed", "1", "--max-examples", "40", "--generation-deterministic"),
                *("--no-color", "--workers", "1", "--phases", "examples,coverage,fuzzing"),
            ],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=180,
        )
        if done.returncode:
            pytest.fail(
                failure.report(
                    "schemathesis found a difference between the document and the service",
                    variant=variant.id,
                    output=done.stdout[-6000:] + done.stderr[-2000:],
                    reproduce=f"{project.reproduce} && cd /tmp/{variant.id} && DOCS_ENABLED=true make serve, "
                    "then: schemathesis run http://127.0.0.1:8000/openapi.json --seed 1",
                ),
                pytrace=False,
            )
        statuses = {line["status"] for line in service.access_lines()}
        assert not [status for status in statuses if status >= 500]
        assert {200, 422} <= statuses, statuses
