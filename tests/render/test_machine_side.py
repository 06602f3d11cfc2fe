"""
The size of what a machine needs: one program that is read from top to bottom, and plain sh around it.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping

from tests.support.projects import Projects
from tests.support.variants import named, of

#: Lines of `deploy/` as rendered. What does not fit is a verb that systemctl, journalctl, cat or touch can do.
LIMITS: Mapping[str, int] = {
    "host.py": 630,
    "setup": 55,
    "build": 60,
    # A file of another name is refused before a host is asked.
    "remote": 66,
    "environment": 20,
    # What nginx lets pass, it refuses: a port of another program, a name of another site. It takes back what does not start.
    "nginx/install": 63,
    # It takes back what Caddy does not start with.
    "caddy/install": 65,
    # It reads a `traefik.yml` that is there already, and has to judge what Traefik itself cannot.
    # It takes back what Traefik does not start with.
    "traefik/install": 97,
}
#: A function of the program, in lines.
FUNCTION = 40


def test_each_part_keeps_its_size(projects: Projects) -> None:
    """
    The table of lines by file; a file that grows has to say what else it took.
    """
    rendered = [projects.render(of(proxy=proxy)) for proxy in ("nginx", "caddy", "traefik")]
    lines = {
        name: max(
            len(each.read(f"deploy/{name}").splitlines()) for each in rendered if (each / "deploy" / name).exists()
        )
        for name in LIMITS
    }
    print(*(f"{name:<16} {count:4} of {LIMITS[name]}" for name, count in lines.items()), sep="\n")
    assert not {name: count for name, count in lines.items() if count > LIMITS[name]}


def test_the_program_is_made_of_small_functions(projects: Projects) -> None:
    """
    A step of a move that had to be looked for would be a step that nobody reads.
    """
    tree = ast.parse(projects.render(named("default")).read("deploy/host.py"))
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    assert len(functions) > 20
    assert not {it.name: n for it in functions if (n := (it.end_lineno or 0) - it.lineno + 1) > FUNCTION}
