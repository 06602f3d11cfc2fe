"""
`scripts/test`: which tier runs when, what it is said to have cost, and that nothing outlives it.
"""

from __future__ import annotations

import ast
import json
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from scripts import tiers
from scripts.tiers import TIERS, Tier, over_budget, plan, programs, startable
from tests.support import processes
from tests.support.jobs import Job
from tests.support.questions import ROOT

#: What `make test` may take on two cores.
MOST_SECONDS = 1200
TABLE = re.compile(r"^\| `(tests/\S+)` \|", re.M)

#: scripts/test with other tiers, and in place of uv something that does what the tier is called.
DRIVER = """
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path

root, script, stub, *arguments = sys.argv[1:]
loader = SourceFileLoader("script", script)
test = module_from_spec(spec_from_loader("script", loader))
sys.modules["script"] = test
loader.exec_module(test)
test.LOGS, test.UV = Path(root), [sys.executable, stub]
test.TIERS = [test.Tier(name, 100, 100) for name in ("passes", "fails", "burns", "hangs")]
sys.exit(test.main(arguments))
"""
STUB = """
import subprocess, sys, time

tier = " ".join(sys.argv)
if "tests/" in tier:
    print("options:", *sys.argv[1:], flush=True)
if "tests/fails" in tier:
    sys.exit("a failure")
if "tests/burns" in tier:
    sys.exit(subprocess.run([sys.executable, "-c", "import time\\nwhile time.process_time() < 60: pass"]).returncode)
if "tests/hangs" in tier:
    left = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    print("left behind:", left.pid, flush=True)
    while True:
        try:
            time.sleep(1000)
        except KeyboardInterrupt:
            print("cleared up", flush=True)
            break
"""


def a_tier(name: str, weight: float, seconds: int = 10, resource: str | None = None) -> Tier:
    return Tier(name, round(weight * seconds), seconds, resource=resource)


def test_a_tier_starts_when_it_fits() -> None:
    """
    The first in the list has the choice; a light one behind one that does not fit need not wait for it.
    """
    heavy, light, lighter = a_tier("heavy", 1.7), a_tier("light", 1.5), a_tier("lighter", 0.5)
    assert startable([heavy, light, lighter], [], 2) == [heavy, lighter]
    assert startable([light], [heavy, lighter], 2) == []
    assert startable([light], [lighter], 2) == [light]


def test_a_resource_is_used_by_one_tier_at_a_time() -> None:
    """
    The rest wait, however light they are.
    """
    one, other = a_tier("one", 0.1, resource="machine"), a_tier("other", 0.1, resource="machine")
    assert startable([one, other], [], 2) == [one]
    assert startable([other], [one], 2) == []


def test_the_heaviest_runs_alone() -> None:
    """
    One core is enough for all of them, one after the other, each slower.
    """
    assert plan([a_tier("a", 1.6), a_tier("b", 1.6)], 1) == {"a": (0, 16), "b": (16, 32)}


def test_the_plan_knows_what_runs_beside_what() -> None:
    """
    Two that want more than there is slow each other down; a third one starts when the first ends.
    """
    tiers = [a_tier("a", 1.2), a_tier("b", 1.2, seconds=20), a_tier("c", 0.8)]
    found = {name: (round(start), round(end)) for name, (start, end) in plan(tiers, 2).items()}
    assert found == {"a": (0, 12), "c": (12, 22), "b": (0, 22)}


def test_the_plan_ends_in_time() -> None:
    """
    With the numbers that the tiers state, on two cores, which are not promised more than they have.
    """
    assert max(end for _, end in plan(TIERS, 2).values()) <= MOST_SECONDS
    assert [tier.name for tier in TIERS if not (ROOT / "tests" / tier.name).is_dir()] == []


def test_a_budget_is_of_cpu_and_half_of_it_is_lenience() -> None:
    """
    On a slower machine the same work takes more.
    """
    tier = a_tier("a", 1)
    assert not over_budget(tier, 15, 1)
    assert over_budget(tier, 16, 1)
    assert not over_budget(tier, 16, 1.2)


def test_a_slower_machine_is_recognised(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    By the time that a piece of work takes; a faster one has no smaller budget.
    """
    monkeypatch.setattr(tiers, "yardstick", lambda: 3 * tiers.YARDSTICK)
    assert tiers.slowness() == pytest.approx(3)
    monkeypatch.setattr(tiers, "yardstick", lambda: tiers.YARDSTICK / 3)
    assert tiers.slowness() == 1


def test_only_the_programs_of_the_tiers_are_asked_for() -> None:
    """
    The render tier needs no container engine.
    """
    assert programs(["render"]) == ["shellcheck"]
    assert {"dockerd", "shellcheck"} <= set(programs(["render", "image"]))
    assert set(programs()) == {program for tier in TIERS for program in tier.programs}


@pytest.fixture
def debian(tmp_path: Path) -> dict[str, str]:
    """
    An environment in which packages are installed by saying which.
    """
    for name in ("apt-get", "apt-cache", "systemctl"):
        (tmp_path / name).write_text(
            '#!/bin/sh\n[ "$1" != install ] || echo "$@"\n' if name == "apt-get" else "#!/bin/sh\n"
        )
        (tmp_path / name).chmod(0o755)
    for name in ("python3", "sed", "sort", "tr", "dirname"):
        (tmp_path / name).symlink_to(shutil.which(name) or name)
    script = (ROOT / "scripts/install-tools").read_text()
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts/tiers.py", tmp_path / "scripts")
    for system in ("/etc/postgresql-common", "/usr/sbin/policy-rc.d"):
        script = script.replace(system, f"{tmp_path}{system}")
    (tmp_path / "usr/sbin").mkdir(parents=True)
    (tmp_path / "scripts/install-tools").write_text(script)
    return {"PATH": f"{tmp_path}:/bin", "SCRIPT": str(tmp_path / "scripts/install-tools")}


def installed(debian: dict[str, str], *names: str) -> set[str]:
    """
    The packages that `scripts/install-tools` asks for.
    """
    words = ["sh", debian["SCRIPT"], *names]
    done = subprocess.run(words, env=debian, capture_output=True, text=True, check=True)
    (line,) = done.stdout.splitlines()
    return {word for word in line.split() if not word.startswith("-")} - {"install"}


def test_tools_are_installed_by_program_by_tier_or_all(debian: dict[str, str]) -> None:
    """
    Each program has a package; what none has is refused before anything is done.
    """
    assert installed(debian, "nginx", "systemd-nspawn") == {"nginx", "systemd-container"}
    assert installed(debian, "render", "boot") == {"shellcheck", "postgresql", "postgresql-client"}
    everything = installed(debian)
    assert {"wrk", "podman", "debootstrap", "debian-archive-keyring", "postgresql", "iproute2"} <= everything
    for name in programs():
        assert installed(debian, name) - {"docker.io"} <= everything
    words = ["sh", debian["SCRIPT"], "nginx", "ngimx"]
    done = subprocess.run(words, env=debian, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert "ngimx is neither a program" in done.stderr


def scripts_test(folder: Path, *arguments: str) -> list[str]:
    """
    The command that runs scripts/test with tiers that do what they are called.
    """
    (folder / "driver.py").write_text(DRIVER)
    (folder / "stub.py").write_text(STUB)
    words = [str(folder), str(ROOT / "scripts/test"), str(folder / "stub.py"), *arguments]
    return [sys.executable, str(folder / "driver.py"), *words]


def test_each_tier_is_shown_whole_and_a_failure_fails(tmp_path: Path) -> None:
    """
    Between the line that says it starts and the table, with its options; what is nightly is left out, or alone. The files
    of one that failed are kept.
    """
    done = subprocess.run(scripts_test(tmp_path, "passes", "fails", "-k", "x"), capture_output=True, text=True)
    assert done.returncode == 1, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    shown = lines.index("== passes")
    files = {
        tier: Path(folder)
        for folder, tier in re.findall(
            r"pytest --basetemp=(\S+)/t tests/(\w+) -n 2 -q -m not nightly -k x\n", done.stdout
        )
    }
    assert lines[shown + 1].startswith("options: run --frozen pytest --basetemp=")
    assert {tier: folder.exists() for tier, folder in files.items()} == {"passes": False, "fails": True}
    files["fails"].rmdir()
    assert "a failure" in lines
    outcomes = {line.split()[0]: line.split()[-1] for line in lines if line.endswith(("passed", "FAILED"))}
    assert outcomes == {"passes": "passed", "fails": "FAILED"}

    done = subprocess.run(scripts_test(tmp_path, "passes", "--nightly"), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "tests/passes -n 2 -q -m nightly\n" in done.stdout


def test_an_interrupt_ends_what_a_tier_has_started(tmp_path: Path) -> None:
    """
    Its tests clear up; what they leave behind, in a session of its own, ends with them.
    """
    words = scripts_test(tmp_path, "hangs", "burns")
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    job = Job(process)
    job.wait_for("burns starts")
    log = tmp_path / "hangs.log"
    processes.wait_until(lambda: log.exists() and "behind" in log.read_text(), seconds=60, what="it hangs")
    left = int(log.read_text().split()[-1])
    assert processes.alive(left)
    process.send_signal(signal.SIGTERM)
    assert job.end() == 130
    assert "cleared up" in job.said
    assert not processes.alive(left)


def supervised(folder: Path, code: str) -> float:
    """
    The CPU that a line of Python is said to have used.
    """
    words = [str(ROOT / "scripts/supervise.py"), str(folder / "report"), sys.executable, "-c", code]
    assert subprocess.run([sys.executable, *words], check=False).returncode == 0
    return float(json.loads((folder / "report").read_text())["cpu"])


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux hands orphans over")
def test_what_was_left_to_itself_is_counted(tmp_path: Path) -> None:
    """
    A process whose parent has gone is nobody's to wait for but the supervisor's.
    """
    burn = f"import time\nwhile time.process_time() < 1: pass\nopen({str(tmp_path / 'burnt')!r}, 'w')"
    orphan = (
        f"import os, subprocess, sys, time\nif not os.fork():\n subprocess.Popen([sys.executable, '-c', {burn!r}])\n"
        f" os._exit(0)\nwhile not os.path.exists({str(tmp_path / 'burnt')!r}): time.sleep(0.05)"
    )
    assert supervised(tmp_path, orphan) >= 1
    assert supervised(tmp_path, "pass") < 1


@pytest.mark.skipif(sys.platform != "linux", reason="orphans are adopted on Linux only")
def test_what_was_left_to_itself_is_waited_for_at_once(tmp_path: Path) -> None:
    """
    A dead orphan does not stay: the namespace that it was the last process of could not end.
    """
    orphan = (
        "import os, subprocess, time\n"
        "pid = int(subprocess.check_output(['sh', '-c', 'sleep 0 >/dev/null & echo $!']))\n"
        "deadline = time.monotonic() + 30\n"
        "while os.path.exists(f'/proc/{pid}'):\n"
        "    assert time.monotonic() < deadline, open(f'/proc/{pid}/stat').read()\n"
        "    time.sleep(0.02)\n"
    )
    supervised(tmp_path, orphan)
    assert json.loads((tmp_path / "report").read_text())["code"] == 0


def nightly() -> set[str]:
    """
    The tests that are marked: one as `file::name`, more than one at once by their file.
    """
    found = set()
    for path in sorted((ROOT / "tests").rglob("*.py")):
        text = path.read_text()
        if "mark.nightly" not in text or path == Path(__file__):
            continue
        name = path.relative_to(ROOT).as_posix()
        tree = ast.parse(text)
        inside = 0
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                marks = sum("mark.nightly" in ast.unparse(decorator) for decorator in node.decorator_list)
                inside += sum(ast.unparse(decorator).count("mark.nightly") for decorator in node.decorator_list)
                found |= {f"{name}::{node.name}"} if marks else set()
        if ast.unparse(tree).count("mark.nightly") > inside:
            found.add(name)
    return found


def section(heading: str) -> str:
    """
    A section of tests/README.md.
    """
    return (ROOT / "tests/README.md").read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]


def test_every_tier_is_in_the_table() -> None:
    """
    tests/README.md says of each what it proves, and of nothing else.
    """
    table = TABLE.findall(section("Tiers"))
    assert len(table) == len(set(table))
    assert set(table) == {f"tests/{tier.name}" for tier in TIERS}


def test_what_runs_nightly_is_in_the_table() -> None:
    """
    Nothing is dropped in silence: each is named in tests/README.md, with what it costs, and nothing else is.
    """
    table = TABLE.findall(section("What runs nightly"))
    assert len(table) == len(set(table))
    assert set(table) == nightly()


def test_the_nightly_run_is_a_workflow() -> None:
    """
    It runs what `scripts/test` leaves out.
    """
    workflow = yaml.safe_load((ROOT / ".github/workflows/nightly.yml").read_text())
    (job,) = workflow["jobs"].values()
    assert [step["run"] for step in job["steps"] if "scripts/test" in step.get("run", "")] == [
        'sudo -E env "PATH=$PATH" scripts/test --nightly'
    ]
