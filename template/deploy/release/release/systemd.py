"""systemd, by its own commands."""

from __future__ import annotations

from release import journal, say
from release.shell import Result, Shell


class Systemd:
    """The commands of systemd that the tool uses; those that change something honour a dry run."""

    def __init__(self, shell: Shell) -> None:
        """See the class."""
        self._shell = shell

    def show(self, unit: str, *properties: str) -> dict[str, str]:
        """Return properties of a unit, empty strings for what systemd does not know."""
        result = self._shell.ask(["systemctl", "show", unit, f"--property={','.join(properties)}"])
        pairs = (line.partition("=") for line in result.stdout.splitlines())
        found = {name: value for name, _, value in pairs}
        return {name: found.get(name, "") for name in properties}

    def units(self, pattern: str) -> dict[str, str]:
        """Return the units that are loaded and match a pattern, with their active state."""
        result = self._shell.ask(
            ["systemctl", "list-units", "--all", "--plain", "--no-legend", "--full", pattern]
        )
        rows = (line.lstrip("●* ").split() for line in result.stdout.splitlines())
        return {row[0]: row[2] for row in rows if len(row) > 2}

    def is_active(self, unit: str) -> bool:
        """Tell whether a unit runs; one that is starting does not yet."""
        return self.show(unit, "ActiveState")["ActiveState"] in ("active", "reloading")

    def start(self, unit: str) -> Result:
        """Start a unit and wait until it has started; the caller judges the exit code."""
        return self._shell.run(["systemctl", "start", unit], check=False)

    def stop(self, *units: str) -> None:
        """Stop units and wait until they have stopped."""
        if units:
            self._shell.run(["systemctl", "stop", *units])

    def restart(self, unit: str) -> None:
        """Restart a unit and wait for it."""
        self._shell.run(["systemctl", "restart", unit])

    def enable(self, *units: str) -> None:
        """Have units started at boot; systemd has to read its units afterwards."""
        if units:
            self._shell.run(["systemctl", "enable", "--quiet", "--no-reload", *units])

    def disable(self, *units: str) -> None:
        """Have units no longer started at boot; systemd has to read its units afterwards."""
        if units:
            self._shell.run(["systemctl", "disable", "--quiet", "--no-reload", *units])

    def forget(self, *units: str) -> None:
        """Forget that units failed; one that did not is no error."""
        if units:
            self._shell.run(["systemctl", "reset-failed", *units], check=False)

    def read_units(self) -> None:
        """Have systemd read unit files that were changed."""
        self._shell.run(["systemctl", "daemon-reload"])

    def journal(self, unit: str, lines: int = 40, since: float = 0) -> str:
        """Return the last lines that a unit logged, fit to read; `since` is by the calendar."""
        asked = ["--unit", unit, "--lines", str(lines), "--since", f"@{int(since)}"]
        result = self._shell.ask(["journalctl", *asked, "--no-pager", "--output", "cat"])
        return journal.readable(result.stdout.strip())

    def version(self) -> int:
        """Return the version of systemd."""
        words = self._shell.ask(["systemctl", "--version"]).stdout.split()
        try:
            return int(words[1].split(".")[0].split("~")[0])
        except (IndexError, ValueError):
            raise say.Problem("systemctl was not found; the service needs systemd") from None
