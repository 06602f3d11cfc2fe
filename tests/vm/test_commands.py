"""
The program on the host: what it refuses, what its exit codes say, and what damage to its notes cannot do.
"""

from __future__ import annotations

import os
from signal import SIGKILL

from tests.support.processes import wait_until
from tests.vm import broken
from tests.vm.edges import NGINX
from tests.vm.host import Host
from tests.vm.hosts import on
from tests.vm.leftovers import leftovers


@on("trixie")
def test_a_name_that_no_build_gives_is_refused(host: Host) -> None:
    """
    A name becomes a path, so it is looked at first; nothing is read.
    """
    run, before = host.run, leftovers(host)
    for name in (
        "",
        "../../etc",
        "latest",
        "20260101T000000Z",
        "20260101T000000Z-xyz1234",
        "20260101T000000Z-0123456/..",
        "20260101T000000Z-0123456\n",
        "20260101T000000Z-0123456 x",
    ):
        done = host.release("deploy", name, check=False)
        assert done.returncode == 1, name
        assert "is no name of a release, as deploy/build gives them" in done.stdout, done.stdout
    for words in (
        ("deploy",),
        ("deploy", "a", "b"),
        ("undeploy",),
        (),
        ("deploy", "a", "--force"),
        ("restart", "--older"),
    ):
        assert host.release(*words, check=False).returncode == 2, words
    assert leftovers(host) == before
    assert host.run == run


@on("trixie")
def test_an_older_release_needs_the_word(host: Host) -> None:
    """
    A file that somebody finds in dist/ does not replace a newer build by mistake; --older says that it is meant.
    """
    old = host.operator.edited({"static/robots.txt": "older\n"})
    new = host.deploy_edited({"static/robots.txt": "newer\n"})
    run = host.run
    done = host.deploy(old, check=False)
    assert done.returncode == 1
    assert f"{old.name} is older than {new}, which serves. If so meant: --older" in done.stdout, done.stdout
    assert host.run == run
    host.deploy(old, "--older")
    assert host.current == old.name
    host.release("rollback", new)
    assert host.current == new


@on("trixie")
def test_status_says_by_its_exit_code_what_runs(host: Host) -> None:
    """
    0 while a run serves, 1 when none does; /ready and what is down are said.
    """
    done = host.release("status")
    assert f"* {host.current}  run {host.run}\n" in done.stdout, done.stdout
    assert "/ready: 200\n" in done.stdout
    try:
        host.machine.run("systemctl", "stop", "postgresql.service")
        # An answer of /ready is good for a second.
        wait_until(lambda: host.ready_status() == 503, seconds=15, what="/ready says 503")
        done = host.release("status")
        assert "/ready: 503, down: database" in done.stdout, done.stdout
    finally:
        host.machine.run("systemctl", "start", "postgresql.service")
    host.wait_ready()
    try:
        host.machine.run("systemctl", "stop", f"{host.slug}.target")
        # The target is stopped before its run has drained: until then it answers, with 503.
        wait_until(lambda: not host.runs, seconds=60, what="the run has ended")
        done = host.release("status", check=False)
        assert done.returncode == 1
        assert "/ready: no answer" in done.stdout, done.stdout
    finally:
        host.machine.run("systemctl", "start", f"{host.slug}.target")
    host.wait_ready()


@on("trixie")
def test_a_command_ends_with_its_own_exit_code(host: Host) -> None:
    """
    `exec` passes on words, input and the exit code, and says which command there is not.
    """
    code = "import sys; print(sys.argv[1:], sys.stdin.read()); sys.exit(7)"
    words = ["a b", "it's", '"q"', "$HOME", "two\nlines", "%i", "\\", "-x", ""]
    done = host.release("exec", "--", "python", "-c", code, *words, input="typed", check=False)
    assert done.returncode == 7, done.stdout
    assert done.stdout == f"{words} typed\n"
    done = host.release("exec", "nonsense", check=False)
    assert done.returncode == 1
    assert "no command 'nonsense', neither in the release nor on this host" in done.stdout
    assert host.release("exec", check=False).returncode == 1


@on("trixie")
def test_a_proper_removal_needs_two_deploys_and_no_flag(host: Host) -> None:
    """
    A column that the release before does without is dropped without a question. Asked for is what it still uses: then
    --allow-drops is the answer of a person who knows, and a rollback behind it asks again.
    """
    add = broken.migration('op.add_column("items", sa.Column("archived", sa.Integer()))', title="Add")
    drop = {
        "migrations/versions/0003_drop.py": broken.MIGRATION.format(
            title="Drop", statement='op.drop_column("items", "archived")'
        )
        .replace('"0002"', '"0003"')
        .replace('"0001"', '"0002"'),
    }
    try:
        uses = host.deploy_edited({**add, "app/uses.py": "archived = 1\n"})
        done = host.deploy(host.operator.edited({**add, **drop}), check=False)
        assert done.returncode == 1
        assert "0003_drop.py, line " in done.stdout, done.stdout
        assert f"takes archived away, which {uses} may still use" in done.stdout, done.stdout
        assert host.current == uses

        host.deploy_edited(add)
        after = host.deploy_edited({**add, **drop})
        assert host.current == after
        done = host.release("rollback", uses, check=False)
        assert done.returncode == 1
        assert "--allow-drops" in done.stdout
        host.release("rollback", uses, "--allow-drops")
        assert host.current == uses
    finally:
        # Only code that knows a revision goes back from it.
        host.deploy_edited({**add, **drop}, "--allow-drops")
        host.release("exec", "--", "python", "-m", "alembic", "downgrade", "0001")
        host.deploy_edited({})


@on("trixie")
def test_a_fix_without_the_database(host: Host) -> None:
    """
    In an outage of the database a deploy that migrates is refused, and --skip-migrations lets a fix through.
    """
    run = host.run
    release = host.operator.edited({"static/robots.txt": "fix\n"})
    host.machine.run("systemctl", "stop", "postgresql.service")
    try:
        done = host.deploy(release, check=False)
        assert done.returncode == 1, done.stdout
        assert f"run {run} is still serving" in done.stdout
        assert host.run == run
        done = host.deploy(release, "--skip-migrations")
        assert "migrate for run" not in done.stdout
        assert host.current == release.name
        assert host.ready_status() == 503
    finally:
        host.machine.run("systemctl", "start", "postgresql.service")
    host.wait_ready()


@on("trixie")
def test_damaged_notes_take_the_socket_from_nobody(host: Host) -> None:
    """
    Links to nowhere, notes that are missing, names that are no numbers: a restart and a deploy work, nothing is lost, and no
    run but the newest serves.
    """
    runs = host.machine / f"opt/{host.slug}/runs"
    strange = ("²", "007", "12.bak", "new", "-1")
    with NGINX.load(host) as load:
        host.deploy_edited({"static/robots.txt": "one\n"})
        run = host.run
        (runs / f"{run}/served").unlink()
        for name in strange:
            (runs / name).mkdir()
        # Older and newer than the one that serves; without a link, to nowhere, and with a file in its place.
        for number in (run - 1, run + 1, run + 5):
            host.machine.run("rm", "-rf", f"/opt/{host.slug}/runs/{number}")
            (runs / f"{number}").mkdir()
        (runs / f"{run + 1}/release").symlink_to("../../releases/gone")
        (runs / f"{run + 1}/served").touch()
        (runs / f"{run + 5}/release").write_text("no link")
        done = host.release("restart")
        assert "Traceback" not in done.stdout
        assert host.run > run
        load.wait_for(50)
        name = host.deploy_edited({"static/robots.txt": "two\n"})
        assert host.current == name
        # The release of the run that serves is not where its note says.
        link = runs / f"{host.run}/release"
        target = os.readlink(link)
        link.unlink()
        link.symlink_to("../../releases/gone")
        done = host.release("restart", check=False)
        assert done.returncode == 1
        assert "Traceback" not in done.stdout, done.stdout
        link.unlink()
        link.symlink_to(target)
        # Without its pointer the socket has the run that serves.
        (host.machine / f"etc/systemd/system/{host.slug}.socket.d/run.conf").write_text("[Socket]\n")
        host.release("rollback")
        load.wait_for(50)
    assert load.tally.lost == 0, load.tally.row("damaged")
    assert set(strange) <= {path.name for path in runs.iterdir()}, "what is not ours is left alone"
    for name in strange:
        (runs / name).rmdir()


@on("trixie")
def test_a_release_that_never_served_is_not_kept(host: Host) -> None:
    """
    A release that was refused, or whose deploy was killed: nobody can roll back to it, and the next deploy removes it.
    """
    releases = host.machine / f"opt/{host.slug}/releases"
    killed = host.operator.edited({"static/robots.txt": "killed\n"})
    job = host.start_deploy(killed)
    job.wait_for("start run")
    job.kill(SIGKILL)
    job.end()
    assert (releases / killed.name).is_dir()
    done = host.release("rollback", killed.name, check=False)
    assert done.returncode == 1
    assert "which release? There is: " in done.stdout
    assert killed.name not in done.stdout
    refused = host.operator.edited({"gunicorn.conf.py": "raise RuntimeError\n"})
    assert host.deploy(refused, check=False).returncode == 1
    assert not (releases / refused.name).exists()
    host.deploy_edited({"static/robots.txt": "after\n"})
    left = {path.name for path in releases.iterdir()}
    assert not left & {killed.name, refused.name}
    assert len(left) <= 4, left
