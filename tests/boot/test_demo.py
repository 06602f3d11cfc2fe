"""
`make demo`: the story that it shows is the one that it promises.
"""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx2
import pytest

from scripts import demo
from tests.support.project import Project
from tests.support.projects import Projects
from tests.support.service import Service
from tests.support.variants import Variant


def test_the_demo_shows_a_drain(
    projects: Projects, workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    After SIGTERM /ready says 503 while requests are still answered, and the exit code is 0.
    """

    def copied(folder: Path) -> Any:
        return SimpleNamespace(render=lambda variant: own(variant))

    def own(variant: Variant) -> Project:
        return projects.render(variant).sync().copy(workplace)

    monkeypatch.setattr(demo, "Projects", copied)
    demo.main(once=True)
    before, after = capsys.readouterr().out.split("SIGTERM\n")
    assert re.findall(r"→ (\d+) ", before) == ["200", "200", "201", "200", "404"]
    assert re.findall(r"→ (\d+) ", after) == ["503", "200"]
    assert '"draining"' in after
    assert "stopped with exit code 0; processes left: 0" in after


def test_an_answer_that_is_not_the_promised_one_ends_the_demo(capsys: pytest.CaptureFixture[str]) -> None:
    """
    It prints the answer, and says what was expected.
    """
    ready = cast(Service, SimpleNamespace(request=lambda *words, **options: httpx2.Response(200, text="ready")))
    with pytest.raises(SystemExit, match="GET /ready was answered 200, not 503"):
        demo.show(ready, "GET", "/ready", 503)
    assert "→ 200 ready" in capsys.readouterr().out
