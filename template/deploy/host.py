#!/usr/bin/python3 -I
"""
The releases on this host: deploy, rollback, restart, status, secret, exec.

Installed as /opt/<slug>/release, for root, who executes nothing of a release. A *release* is a
directory that never changes. A *run* is one start of it, with copies of the environment and the
secrets: `<slug>@<number>.service`. All share the socket that systemd holds, so every change is the
same move: start the next run, wait until it is ready, point the socket at it, stop the old one. A
failure disturbs nobody; what is killed is finished by the next command (`recover`).
"""

import argparse
import fcntl
import getpass
import http.client
import json
import os
import platform
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

HOME = Path(__file__).resolve().parent
SLUG = HOME.name
ETC, UNITS = Path("/etc", SLUG), Path("/etc/systemd/system")
RELEASES, RUNS, STATIC = HOME / "releases", HOME / "runs", HOME / "static"
SOCKET, MIGRATE = f"{SLUG}.socket", f"{SLUG}--migrate"
# The current run: for the socket, and for the next boot. It is written here and nowhere else.
POINTER = UNITS / f"{SOCKET}.d/run.conf"
GATE = Path("/run", f"{SLUG}.gate")

# For a new run to become ready, with a minute less than TimeoutStartSec; for one answer of /ready.
GATE_SECONDS, READY_SECONDS = 30, 5
# Releases beside the one that serves: a fault is often noticed a deploy or two later.
KEEP = 3
# The time of the build in UTC, and the commit: their order is the order of the builds.
NAME = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{7,40}")
# The unit hides these directories, whatever their permissions.
HIDDEN = ("/home/", "/root/", "/run/user/", "/tmp/", "/var/tmp/")
SERVING = ("active", "reloading")
# Only when nobody else wants the disk or the CPU.
IDLE = ("ionice", "--class", "3", "nice", "-n", "19")


class Refused(Exception):
    """A command that cannot be carried out; the message says why, and what to do."""


def say(text: str) -> None:
    """Print a line. A reader that is gone (a lost connection) ends nothing."""
    try:
        characters = sys.stdout.encoding
        print(text.encode(characters, "backslashreplace").decode(characters), flush=True)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def output(*words: str, check: bool = False) -> str:
    """Return what a command prints; Refused if it is to be checked, and fails."""
    done = subprocess.run(words, capture_output=True, text=True, errors="replace")
    if check and done.returncode:
        raise Refused(f"{' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


def run(*words: str | Path) -> None:
    """Run a command; Refused, with the first line it says, when it fails."""
    done = subprocess.run(words, stderr=subprocess.PIPE, text=True, errors="replace", check=False)
    if "No space left on device" in done.stderr:
        raise Refused("the disk is full")
    if done.returncode:
        said = done.stderr.strip().partition("\n")[0] or f"exit code {done.returncode}"
        raise Refused(f"{' '.join(map(str, words)).removeprefix(' '.join(IDLE))}: {said}".strip())


def write(path: Path, text: str | bytes, mode: int = 0o644) -> None:
    """Write a file whole or not at all, also when the power fails."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
        file.write(text.encode() if isinstance(text, str) else text)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    sync(path.parent)


def sync(directory: Path) -> None:
    """Make a rename durable. (`sync` would wait for all disks, those of the database as well.)"""
    descriptor = os.open(directory, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def units(number: int, *, migrations: bool = True) -> list[str]:
    """Name the units of a run: its service, then those beside it (`<slug>--…@.service`)."""
    beside = sorted(path.name.partition("@")[0] for path in UNITS.glob(f"{SLUG}--*@.service"))
    names = (SLUG, *(name for name in beside if migrations or name != MIGRATE))
    return [f"{name}@{number}.service" for name in names]


def states() -> dict[int, str]:
    """Return the runs that systemd knows, with the state of the service of each."""
    words = ("systemctl", "list-units", "--all", "--plain", "--no-legend", "--full")
    unit = re.compile(rf"(?:● )?{SLUG}(--[a-z0-9-]+)?@(\d+)\.service +\S+ +(\S+)")
    found: dict[int, str] = {}
    patterns = (f"{SLUG}@*.service", f"{SLUG}--*@*.service")
    for line in output(*words, *patterns, check=True).splitlines():
        if match := unit.match(line):
            number = int(match[2])
            found[number] = found.get(number, "beside") if match[1] else match[3]
    return found


def noted() -> set[int]:
    """Return the runs that have a directory."""
    numbers = (it.name for it in RUNS.iterdir() if re.fullmatch("[1-9][0-9]*", it.name))
    return {int(name) for name in numbers if (RUNS / name).is_dir()}


def current() -> int | None:
    """Return the run that the socket points at."""
    text = POINTER.read_text() if POINTER.exists() else ""
    found = re.search(rf"^Service={SLUG}@(\d+)\.service$", text, re.M)
    return int(found[1]) if found else None


def release_of(number: int | None) -> Path | None:
    """Return the release of a run, None for a run without one, or whose release is gone."""
    link = RUNS / str(number) / "release"
    release = RELEASES / Path(os.readlink(link)).name if link.is_symlink() else None
    return release if release and release.is_dir() else None


def served() -> dict[str, int]:
    """Return the releases that have served and are still here, with the first run of each."""
    found: dict[str, int] = {}
    for number in sorted(noted()):
        if (release := release_of(number)) and (RUNS / str(number) / "served").exists():
            found.setdefault(release.name, number)
    return found


def ready() -> tuple[int, list[str]]:
    """Ask /ready on the shared socket: its status, 0 where nobody answers, and what is down."""
    try:
        address = output("systemctl", "show", "--property=Listen", "--value", SOCKET).split()[0]
        connection = http.client.HTTPConnection(address, timeout=READY_SECONDS)
        if address.startswith("/"):
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.settimeout(READY_SECONDS)
            connection.sock.connect(address)
        connection.request("GET", "/ready", headers={"Host": "localhost", "Connection": "close"})
        answer = connection.getresponse()
        checks = json.loads(answer.read()).get("checks", {})
        down = [name for name, it in checks.items() if it["required"] and it["status"] != "up"]
        return answer.status, down
    except (OSError, ValueError, LookupError, AttributeError, TypeError, http.client.HTTPException):
        return 0, []


# --- The move -------------------------------------------------------------------------------------


def switch(release: Path, *, migrate: bool = False) -> None:
    """Replace the present run by a new run of a release; a failure changes nothing."""
    old, began = current(), int(time.time())
    new = max([0, *states(), *noted()]) + 1
    try:
        prepare(new, release, old)
        if migrate and (UNITS / f"{MIGRATE}@.service").exists():
            say(f"migrate for run {new}")
            run("systemctl", "start", f"{MIGRATE}@{new}.service")
        merge_static(release)  # Before the first page that asks for them.
        if old is None:
            point(new)  # Without a run there is no socket.
        say(f"start run {new} of {release.name} and wait until it is ready")
        run("systemctl", "start", *units(new, migrations=False))
        # It serves. From here on two releases must not go on side by side.
        ignore_interrupts()
        (GATE / str(new)).unlink()
        (RUNS / str(new) / "served").touch()
        say(f"point the socket at run {new}")
        point(new)
    except BaseException:
        ignore_interrupts()
        if old is None or current() != new:
            undo(new, old, began)
        raise
    finally:
        (GATE / str(new)).unlink(missing_ok=True)
    run("systemctl", "start", f"{SLUG}.target")
    if old is not None:
        say(f"stop run {old}, which drains")
        stop(old)
    say(f"run {new} serves {release.name}")


def prepare(number: int, release: Path, old: int | None) -> None:
    """Give a run its release, its gate, and its copies of the environment and the secrets."""
    directory = RUNS / str(number)
    directory.mkdir()
    (directory / "release").symlink_to(f"../../releases/{release.name}")
    # Copies: after a crash a run must not start again with half of a change.
    write(directory / "environment", environment(), 0o600)
    run("cp", "--archive", ETC / "credentials", directory)
    write(GATE / str(number), gate(old))


# A comment, what is empty, and a value that systemd reads as it is written.
LINE = re.compile(
    rb"""(?:[#;].*|[A-Za-z_]\w*\s*=\s*(?:""|'')?)?"""
    rb"""|([A-Za-z_]\w*\s*=\s*(?:"[^"\\]+"|'[^']+'|(?!.*\s\#)[^"'\\\s][^\\]*))"""
)


def environment() -> bytes:
    """Return the environment of a new run. Empty is unset, or gunicorn stumbles over some of it."""
    found = [LINE.fullmatch(it.strip()) for it in (ETC / "environment").read_bytes().splitlines()]
    if None in found:
        where = f"{ETC}/environment, line {found.index(None) + 1}"
        raise Refused(f"{where}: NAME=value, with '' around a value that has \\, quotes or #")
    return b"".join(it[1] + b"\n" for it in found if it and it[1])


def gate(old: int | None) -> str:
    """Return the condition for the first start of a run: no less ready than the one it replaces."""
    # What is down in the old run may be down in the new one, so that a fix can be deployed in an
    # outage. Any run is better than one that leaves three questions unanswered.
    within = f"READY_GATE_SECONDS={GATE_SECONDS}\n"
    asked, deadline = 0, time.monotonic() + GATE_SECONDS
    while old and asked < 3 and time.monotonic() < deadline:
        if (state := states().get(old)) in SERVING:
            status, down = ready()
            if status in (200, 503):
                return f"{within}READY_GATE_FORGIVES={','.join(down)}\n"
            asked += 1
        elif state in ("activating", "deactivating"):
            time.sleep(0.5)  # It is being restarted.
        else:
            break
    return "" if old else within


def point(number: int | None) -> None:
    """Make a run the current one, or none: one file says so, and it is replaced as a whole."""
    text = POINTER.read_text().rstrip("\n") + "\n" if POINTER.exists() else ""
    # Other lines are the operator's, such as a ListenStream=.
    text = re.sub(rf"^(Wants|Service)={SLUG}(@|--).*\n", "", text, flags=re.M)
    if number:
        wanted = units(number, migrations=False)
        lines = {"Unit": f"Wants={' '.join(wanted)}", "Socket": f"Service={wanted[0]}"}
        for section, line in lines.items():
            text = text if f"[{section}]\n" in text else f"{text}[{section}]\n"
            text = text.replace(f"[{section}]\n", f"[{section}]\n{line}\n", 1)
    write(POINTER, text)
    run("systemctl", "daemon-reload")


def undo(new: int, old: int | None, began: int) -> None:
    """Take back a run that did not get the socket, and show why."""
    explain(new, began)
    if old is None:
        output("systemctl", "stop", SOCKET)  # Without a run its clients would wait for nobody.
        point(None)
    stop(new)
    serves = states().get(old or 0) in SERVING
    say(f"run {new} is undone; {f'run {old} is still serving' if serves else 'nothing serves'}")


def explain(number: int, began: int) -> None:
    """Print what a run has logged, as people read it: warnings and errors, each once."""
    words = ["journalctl", "--output=cat", "--no-pager", "--quiet", f"--since=@{began}"]
    told: list[str] = []
    for line in output(*words, *(f"--unit={name}" for name in units(number))).splitlines():
        try:
            values = json.loads(line)
            reason = f" ({values['reason']})" if "reason" in values else ""
            text = f"{values['event']}{reason}\n{values.get('exception', '')}"
            level = values["level"]
        except (ValueError, LookupError, TypeError, RecursionError):
            level, text = "", line
        for each in [] if level in ("debug", "info") else text.splitlines():
            if each.strip(" ~^") and each not in told:
                told.append(each)
            # Of a traceback the last place is enough, with the error that follows.
            if all(one.startswith(" ") for one in told[-3:]) and told[3:]:
                del told[-3]
    say("\n".join(f"    {line}" for line in told[-40:]))


def stop(number: int) -> None:
    """Stop a run, which drains."""
    run("systemctl", "stop", *units(number))
    output("systemctl", "reset-failed", *units(number))
    forget(number)


def forget(number: int) -> None:
    """Remove the copies of a run that is over, and every trace of one that never served."""
    directory = RUNS / str(number)
    shutil.rmtree(directory / "credentials", ignore_errors=True)
    (directory / "environment").unlink(missing_ok=True)
    if not (directory / "served").exists():
        shutil.rmtree(directory, ignore_errors=True)


def ignore_interrupts(*interrupt: object) -> None:
    """Leave no undoing, and no end of a move, to a second interrupt; the first one ends this."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if interrupt:
        raise KeyboardInterrupt


def recover() -> None:
    """Finish what a killed command has left: one run serves, and the socket points at it."""
    run("systemctl", "daemon-reload")  # It was perhaps killed before that.
    closed = output("systemctl", "is-active", SOCKET) in ("inactive\n", "failed\n")
    if closed and states().get(current() or 0) in SERVING:
        # systemd opens it only while no run is active, and the next run would serve nobody.
        output("systemctl", "stop", f"{SLUG}@*.service")
        run("systemctl", "start", f"{SLUG}.target")
    now = states()
    serving = [number for number, state in now.items() if state in SERVING]
    if serving and current() not in serving:
        point(max(serving))
    here = current()
    if here in serving:
        (RUNS / str(here) / "served").touch()
    for number in sorted({*now, *noted()} - {here}):
        if now.get(number, "inactive") != "inactive":
            say(f"run {number} was left over; it is stopped")
            stop(number)
        forget(number)
    shutil.rmtree(GATE, ignore_errors=True)
    prune()


def prune() -> None:
    """Keep the release that serves, the newest others that once did, and their static files."""
    first, here = served(), release_of(current())
    if here is None and current():
        return  # Its note is damaged, so any release may be the one that serves.
    others = [name for name in first if here is None or name != here.name]
    kept = {here.name if here else "", *others[-KEEP:]}
    for path in RELEASES.iterdir():
        name = path.name.removesuffix(".partial")
        if path.is_dir() and NAME.fullmatch(name) and path.name not in kept:
            # Renamed first: half of a release is none.
            shutil.rmtree(path.rename(RELEASES / f"{name}.partial"))
    active = {number for number, state in states().items() if state != "inactive"}
    for number in noted() - {current(), *active, *(first[it] for it in kept & first.keys())}:
        shutil.rmtree(RUNS / str(number), ignore_errors=True)
    wanted = {name for release in RELEASES.iterdir() for name in published(release)}
    wanted |= {folder for name in wanted for folder in name.parents}
    for path in sorted(STATIC.rglob("*"), reverse=True):
        if path.relative_to(STATIC) not in wanted:
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    if here:
        merge_static(here)  # Over what a refused one had under the same name.


def published(release: Path) -> dict[Path, Path]:
    """Return the static files of a release by name. A link that leads out of them is left out."""
    root = release / "static"
    paths = (Path(folder, name) for folder, _, names in os.walk(root) for name in names)
    inside = (path for path in paths if path.resolve().is_relative_to(root) and path.is_file())
    return {path.relative_to(root): path for path in inside}


def merge_static(release: Path) -> None:
    """Add the static files of a release: a page loaded before a deploy still finds its own."""
    for name, path in published(release).items():
        place, content = STATIC / name, path.read_bytes()
        # What was a file may be a directory now, and the other way round.
        for folder in filter(Path.is_file, place.parents):
            folder.unlink()
        if place.is_dir():
            shutil.rmtree(place)
        if not place.is_file() or place.read_bytes() != content:
            write(place, content)


# --- A release comes in ---------------------------------------------------------------------------


def install(name: str) -> Path:
    """Unpack a release from standard input and give it its packages; whole or not at all."""
    final, partial = RELEASES / name, RELEASES / f"{name}.partial"
    if final.is_dir():
        return final
    partial.mkdir()
    say(f"unpack {name}")
    run(*IDLE, "tar", "-xz", "--no-same-owner", "--no-same-permissions", "-C", partial)
    # The service must be able to read it, whatever the umask of the person who built it.
    run(*IDLE, "chmod", "-R", "u=rwX,go=rX", partial)
    inspect(partial)
    python, version = interpreter(partial, name)
    run(*IDLE, python, "-I", "-m", "venv", "--without-pip", partial / ".venv")
    site = partial / f".venv/lib/python{version}/site-packages"
    site.rmdir()
    (partial / ".packages").rename(site)
    # The service cannot write beside its code. What cannot be compiled is perhaps never used.
    compiling = ("-m", "compileall", "-qq", "-j", "0", "-s", f"{partial}", "-p", f"{final}")
    output(*IDLE, python, "-I", *compiling, f"{partial}")
    run(*IDLE, "find", partial, "!", "-type", "l", "-exec", "sync", "{}", "+")
    partial.rename(final)
    sync(RELEASES)
    return final


def inspect(tree: Path) -> None:
    """Refuse an archive with anything but files, directories, and links between them."""
    for folder, folders, names in os.walk(tree):
        for path in (Path(folder, name) for name in (*folders, *names)):
            fine = stat.S_IFMT(path.lstat().st_mode) in (stat.S_IFREG, stat.S_IFDIR)
            if path.is_symlink() and not os.path.isabs(os.readlink(path)):
                fine = Path(os.path.realpath(path)).is_relative_to(tree)
            if not fine:
                raise Refused(f"{path.relative_to(tree)} leads out of the release, or is no file")


def interpreter(tree: Path, name: str) -> tuple[str, str]:
    """Return the full name, and the version, of the Python that a release was built for."""
    try:
        built = json.loads((tree / "release.json").read_text())
        slug, called, machine = built["slug"], built["name"], built["machine"]
        version = f"{built['python']}"
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        raise Refused("this is no release; deploy/build makes one") from None
    if (slug, called) != (SLUG, name):
        raise Refused(f"this is release {called} of {slug}, not {name} of {SLUG}")
    found = shutil.which(f"python{version}", path="/usr/local/bin:/usr/bin")
    if found is None or machine != platform.machine() or not re.fullmatch(r"3\.\d+", version):
        here = platform.machine() if found else "has no such Python"
        raise Refused(f"built for Python {version} on {machine}; this host: {here}")
    if (python := os.path.realpath(found)).startswith(HIDDEN):
        raise Refused(f"{python} is hidden by the unit; install Python {version} elsewhere")
    return python, version


# The tables and columns that a migration takes away: calls of Alembic, then SQL. Between two words
# of SQL a Python string may end and the next begin; a name may have quotes, a schema, neighbours.
GAP = r"""(?:\s+|\s*["']\s*\+?\s*[rf]?["']\s*)"""
PART = r"""(?:[\w{}]+|\\?["'`\[][^"'`\]\\\n]+\\?["'`\]])"""
ONE, TABLE = rf"{PART}(?:\.{PART})*", rf"\bTABLE(?:\s+IF\s+EXISTS)?(?:\s+ONLY)?{GAP}"
TAKES_AWAY = re.compile(
    r"""\b(?:drop|rename)_table\((?:[^()]*\b(?:old_)?table_name\s*=)?[^"')]*["'](\w+)"""
    r"""|\b(?:drop_column|alter_column(?=\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\bnew_column_name))"""
    r"""\((?:[^()]*\bcolumn_name\s*=|[^,()=]*,(?=\s*["']))?[^"',)]*["'](\w+)"""
    rf"""|(?i:\bDROP\s+(?:TABLE|COLUMN)(?:\s+IF\s+EXISTS)?{GAP}"""
    rf"""({ONE}(?:\s*,\s*{ONE}(?!\w|\s+(?!CASCADE|RESTRICT)\w))*))"""
    rf"""|(?i:{TABLE}({ONE}){GAP}RENAME\s+TO\b|\bRENAME(?:\s+COLUMN)?{GAP}({ONE}){GAP}TO\b)"""
    rf"""|(?i:(?:{TABLE}{ONE}{GAP}|,\s*)DROP(?:\s+COLUMN)?(?:\s+IF\s+EXISTS)?{GAP}(?!COLUMN)({ONE})\s*(?:[,;)"'`]|CASCADE))"""
)
DOWNGRADE = re.compile(r"(?ms)^def downgrade.*?(?=^[^\s)]|\Z)")


def refuse_drops(older: Path, newer: Path) -> None:
    """Refuse migrations of the newer release that take away what the older one's code mentions."""
    # During a deploy, and after a rollback, the older release works with the newer one's tables.
    # Words are compared, which may find too much: --allow-drops is for a person who knows better.
    known = {path.name for path in older.glob("migrations/versions/*.py")}
    code = "\n".join(path.read_text(errors="replace") for path in older.glob("app/**/*.py"))
    for path in sorted(newer.glob("migrations/versions/*.py")):
        text = path.read_text(errors="replace") if path.name not in known else ""
        upgrade = DOWNGRADE.sub(lambda it: "\n" * it[0].count("\n"), text)
        for found in TAKES_AWAY.finditer(upgrade):
            names = re.findall(r"(\w+)\W*(?:,|$)", found[found.lastindex or 0])
            if used := [name for name in names if re.search(rf"\b{name}\b", code, re.I)]:
                line = upgrade.count("\n", 0, found.start()) + 1
                raise Refused(
                    f"{path.name}, line {line}, takes {used[0]} away, which {older.name} may still "
                    "use: first deploy one that does without it. If it does: --allow-drops"
                )


# --- Commands -------------------------------------------------------------------------------------


def deploy(given: argparse.Namespace) -> None:
    """Unpack a release from standard input, migrate, and switch to it."""
    old = release_of(current())
    if not NAME.fullmatch(given.name):
        raise Refused(f"{given.name!r} is no name of a release, as deploy/build gives them")
    if old and given.name < old.name and not given.older:
        raise Refused(f"{given.name} is older than {old.name}, which serves. If so meant: --older")
    release = install(given.name)
    if old and not given.allow_drops and not given.skip_migrations:
        refuse_drops(old, release)
    switch(release, migrate=not given.skip_migrations)


def rollback(given: argparse.Namespace) -> None:
    """Switch to an earlier release, with today's environment and secrets."""
    first, here = served(), serving_release()
    others = [name for name in first if name != here.name]
    wanted = [name for name in others if given.name in name]
    if not given.name:
        # Earlier by the first run: two rollbacks go two releases back, whatever the clocks said.
        wanted = [name for name in others if first[name] < first.get(here.name, sys.maxsize)][-1:]
    if len(wanted) != 1:
        what = "which release?" if given.name else "no release served before this one."
        raise Refused(f"{what} There is: {', '.join(others) or 'no other'}")
    for name in [] if given.allow_drops else first:
        refuse_drops(RELEASES / wanted[0], RELEASES / name)
    switch(RELEASES / wanted[0])


def restart(_: argparse.Namespace) -> None:
    """Start a new run of the release that serves, with today's environment and secrets."""
    switch(serving_release())


def serving_release() -> Path:
    """Return the release that the socket points at; Refused before the first deploy."""
    if (release := release_of(current())) is None:
        raise Refused("no release serves here: deploy one")
    return release


def status(_: argparse.Namespace) -> None:
    """Show the releases, /ready, and the run that serves; exit code 1 if none does."""
    here, number = serving_release(), current() or 0
    for name in served():
        say(f"* {name}  run {number}" if name == here.name else f"  {name}")
    code, down = ready()
    say(f"/ready: {code or 'no answer'}{', down: ' + ', '.join(down) if down else ''}")
    subprocess.run(["systemctl", "--no-pager", "status", units(number)[0]], check=False)
    sys.exit(states().get(number) not in SERVING)


def secret(given: argparse.Namespace) -> None:
    """Store a secret, read from standard input; a run reads it when it starts."""
    typed = getpass.getpass().encode() if sys.stdin.isatty() else sys.stdin.buffer.read()
    value = typed.rstrip(b"\r\n")
    fits = 0 < len(value) < 1_000_000 and b"\0" not in value  # systemd passes no more.
    if not re.fullmatch(r"[A-Z][A-Z0-9_]*", given.name) or not fits:
        raise Refused("a secret is the name of a variable, and less than 1 MB on standard input")
    write(ETC / "credentials" / given.name, value, 0o400)
    say(f"{given.name} is stored; the service reads it at the next deploy or restart")


def execute(given: argparse.Namespace) -> None:
    """Run a command in the release that serves, within the walls of its unit."""
    name, *rest = given.words[given.words[:1] == ["--"] :] or [""]
    path = f"{serving_release()}/.venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin"
    if (program := shutil.which(name, path=path)) is None:
        raise Refused(f"no command {name!r}, neither in the release nor on this host")
    words = ["systemd-run", "--quiet", "--collect", "--wait", "--service-type=exec"]
    words += ["--pty" if sys.stdin.isatty() else "--pipe", f"--setenv=PATH={path}"]
    words += [f"--description={SLUG}: {name}"]  # Arguments do not belong in the journal.
    # The settings of the service, less those that keep it alive.
    other = re.compile("#|Exec|Kill|Log|Notify|OOMP|Restart|Sockets|Syslog|Timeout|Type|Watchdog")
    text = output("systemctl", "cat", units(current() or 0)[0])
    for line in re.sub(r"(?ms)^\[(?!Service\]).*?(?=^\[|\Z)", "", text).splitlines():
        if "=" in line and not other.match(line):
            words += ["--property", line.replace("%i", str(current()))]
    # systemd expands variables in its commands. A doubled $ is one.
    os.execvp(words[0], [*words, "--", program, *(word.replace("$", "$$") for word in rest)])


COMMANDS = {it.__name__: it for it in (deploy, rollback, restart, status, secret)}
COMMANDS["exec"] = execute


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog=f"{HOME}/release", allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True)
    added = {name: commands.add_parser(name, help=it.__doc__) for name, it in COMMANDS.items()}
    added["deploy"].add_argument("name", help="as deploy/build has named it")
    added["rollback"].add_argument("name", nargs="?", default="", help="any part of a name")
    added["secret"].add_argument("name", help="the variable; its value is read from standard input")
    added["exec"].add_argument("words", nargs=argparse.REMAINDER, help="the command")
    drops = "though a migration takes away what an older release mentions"
    added["deploy"].add_argument("--allow-drops", action="store_true", help=drops)
    added["rollback"].add_argument("--allow-drops", action="store_true", help=drops)
    added["deploy"].add_argument("--skip-migrations", action="store_true", help="migrate nothing")
    added["deploy"].add_argument("--older", action="store_true", help="though a newer one serves")
    return parser.parse_args()


def main() -> None:
    """Carry out one command, and no other that changes something at the same time."""
    given = arguments()
    if os.geteuid() or not RELEASES.is_dir():
        raise Refused("this is for root, on a host that deploy/setup has prepared")
    os.umask(0o022)
    signal.signal(signal.SIGINT, ignore_interrupts)
    signal.signal(signal.SIGTERM, ignore_interrupts)
    # A connection that is lost is no reason to leave a move half done.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    if given.command in ("status", "exec"):
        return COMMANDS[given.command](given)
    # Opening it is enough to hold it, so only root may. The kernel lets go of it with the process.
    with os.fdopen(os.open(HOME / "lock", os.O_RDWR | os.O_CREAT, 0o600), "r+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refused(f"{lock.read()} is at work here; wait until it has finished") from None
        lock.truncate(0)
        print(f"{given.command} (pid {os.getpid()})", end="", file=lock, flush=True)
        if given.command == "secret":
            return secret(given)
        recover()
        try:
            COMMANDS[given.command](given)
        finally:
            prune()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
    except (Refused, OSError) as error:
        sys.exit(str(error))
