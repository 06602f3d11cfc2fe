"""The memory that workers share."""

import subprocess
import sys
from pathlib import Path

import pytest

from app.core.logs import LogSettings, configure_logging
from app.rate_limit.memory import open_memory
from app.rate_limit.table import SEED_BYTES, SIZE, Table

ROOT = Path(__file__).parents[3]

# What a worker does: count five requests of one client at one moment.
WORKER = """
import sys
from pathlib import Path
from app.rate_limit.memory import open_memory
from app.rate_limit.table import Table

table = Table(open_memory("test", Path(sys.argv[1])))
print(sum(table.count("192.0.2.1", 10**9, 10**8, 8) == 0 for _ in range(5)))
"""


def file_in(folder: Path) -> Path:
    """Return the only file in a folder."""
    [file] = folder.iterdir()
    return file


def test_processes_that_know_nothing_of_each_other_share_one_limit(own_table: Path) -> None:
    """Eight requests may come at once: two workers of different masters let eight pass, not ten."""
    passed = [
        subprocess.run(
            [sys.executable, "-c", WORKER, str(own_table)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            check=True,
            text=True,
        ).stdout.strip()
        for _ in range(2)
    ]
    assert passed == ["5", "3"]


def test_the_file_is_private_and_complete(own_table: Path) -> None:
    """Nobody else can read who was here, and memory cannot run out later."""
    open_memory("test")
    status = file_in(own_table).stat()
    assert status.st_mode & 0o777 == 0o600
    assert status.st_size == SIZE
    assert status.st_blocks * 512 >= SIZE


def test_the_seed_is_random_and_stays(own_table: Path) -> None:
    """Workers agree on it, machines do not."""
    seeds = [bytes(open_memory(name)[:SEED_BYTES]) for name in ("test", "test", "other")]
    assert seeds[0] == seeds[1] != seeds[2]


def test_a_file_that_was_never_finished_is_made_anew(own_table: Path) -> None:
    """Its maker was killed."""
    open_memory("test")
    file = file_in(own_table)
    file.write_bytes(b"half")
    assert len(open_memory("test")) == SIZE
    assert file.stat().st_size == SIZE


@pytest.mark.parametrize("trap", ["open to others", "a link", "no folder"])
def test_what_cannot_be_shared_is_not(
    own_table: Path, trap: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """The service starts all the same, each worker counts for itself, and the log says so."""
    open_memory("test")
    file = file_in(own_table)
    if trap == "open to others":
        file.chmod(0o666)
    elif trap == "a link":
        file.symlink_to(file.rename(own_table / "elsewhere"))
    else:
        own_table /= "absent"
    configure_logging(LogSettings())
    tables = [Table(open_memory("test", own_table)) for _ in range(2)]
    assert [table.count("192.0.2.1", 10**9, 10**8, 1) for table in tables] == [0, 0]
    assert "rate limit is not shared" in capfd.readouterr().err
