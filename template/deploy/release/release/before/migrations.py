"""The migrations of the database: run once, before the first run of a release."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from release import runs
from release.before import Change, Part
from release.before.tables import Use, breaking, revisions, used
from release.machine import Machine
from release.say import Problem


class Migrations:
    """
    Refuses what would break a release that is running, and migrates.

    While a deploy lasts, and after a rollback, the older release works on the newer database.
    """

    title = "migrate the database"

    def arguments(self, parser: argparse.ArgumentParser, back: bool) -> None:
        """Add the options."""
        if back:
            text = "go back although migrations have taken away what that release uses"
        else:
            text = "run migrations that take away what the running release uses: its requests fail"
            parser.add_argument(
                "--skip-migrations", action="store_true", help="leave the database as it is"
            )
        parser.add_argument("--force-migration", action="store_true", help=text)

    def check(self, machine: Machine, change: Change, arguments: argparse.Namespace) -> None:
        """Compare the newer release's migrations with what the older one uses."""
        if arguments.force_migration or change.running is None or not change.release.is_dir():
            return
        if change.back:
            older, newer = change.release, migrated(machine)
            hint = "deploy a release that does without, or roll back with --force-migration"
        elif arguments.skip_migrations:
            return
        else:
            older, newer = change.running, [change.release]
            hint = (
                "first deploy a release that does without, then one with the migration; "
                "or accept failing requests with --force-migration"
            )
        known = revisions(older)
        new = {
            name: path
            for release in newer
            for name, path in revisions(release).items()
            if name not in known
        }
        if not new:
            return
        use: Use = used(machine.shell, older, machine.slug)
        found = [
            f"{path.name}, line {line}: {what}"
            for path in new.values()
            for line, what in breaking(path.read_text(encoding="utf-8"), use)
        ]
        if found:
            which = "would break" if not change.back else "have broken"
            raise Problem(f"migrations {which} {older.name}: {hint}", "\n".join(found))

    def act(self, machine: Machine, number: int, arguments: argparse.Namespace) -> None:
        """Run the unit that migrates, with the settings of the run."""
        if arguments.skip_migrations:
            return
        unit, began = self._unit(machine, number), int(time.time())
        own = machine.paths.drop_in(machine.unit(number), "run.conf")
        if not machine.shell.dry:
            secrets = [line for line in own.read_text().splitlines() if "Sec=" not in line]
            machine.shell.write(machine.paths.drop_in(unit, "run.conf"), "\n".join(secrets) + "\n")
        machine.systemd.read_units()
        result = machine.systemd.start(unit)
        if result.returncode:
            journal = machine.systemd.journal(unit, since=began)
            machine.systemd.forget(unit)
            raise Problem(
                "the migration failed, its log is above; nothing was changed "
                "(--skip-migrations leaves the database as it is)",
                journal,
            )

    def forget(self, machine: Machine, number: int) -> None:
        """Remove the drop-in of the unit; an interrupted migration is stopped."""
        unit = self._unit(machine, number)
        drop_in = machine.paths.drop_in(unit, "run.conf")
        if drop_in.exists():
            machine.systemd.stop(unit)
            machine.systemd.forget(unit)
            machine.shell.remove(drop_in.parent)

    @staticmethod
    def _unit(machine: Machine, number: int) -> str:
        return f"{machine.slug}-migrate@{number}.service"


def migrated(machine: Machine) -> list[Path]:
    """Return the releases whose migrations the database may have seen."""
    served = {run.release for run in runs.every(machine) if run.served}
    return [machine.paths.releases / name for name in sorted(served)]


PART: Part = Migrations()
