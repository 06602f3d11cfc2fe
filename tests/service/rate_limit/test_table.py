"""The table tells which client may send, and when."""

import pytest

from app.rate_limit.table import SIZE, Table

# In milliseconds here; the table does not care. Ten requests a second, five at once.
INTERVAL, BURST = 100, 5
NOW = 1_000_000


@pytest.fixture
def table() -> Table:
    """Return an empty table."""
    return Table(memoryview(bytearray(SIZE)))


def count(table: Table, client: str, now: int = NOW, times: int = 1) -> list[int]:
    """Count requests that come at one moment."""
    return [table.count(client, now, INTERVAL, BURST) for _ in range(times)]


def test_a_burst_passes_and_the_next_request_does_not(table: Table) -> None:
    """It is told after how many seconds it is welcome."""
    assert count(table, "192.0.2.1", times=6) == [0, 0, 0, 0, 0, 100]


def test_who_waits_as_long_as_told_is_served(table: Table) -> None:
    """A refused request does not count, however often it came."""
    count(table, "192.0.2.1", NOW, 5)
    assert count(table, "192.0.2.1", NOW + 20, 50) == [80] * 50
    assert count(table, "192.0.2.1", NOW + 20 + 80, 2) == [0, 100]


def test_the_rate_is_kept_for_as_long_as_it_lasts(table: Table) -> None:
    """Twenty a second for ten seconds: half of them pass, and the burst."""
    waits = [table.count("192.0.2.1", NOW + 50 * n, INTERVAL, BURST) for n in range(200)]
    assert waits.count(0) == 100 + BURST - 1


def test_clients_do_not_share_a_limit(table: Table) -> None:
    """One that sends too much is refused alone."""
    assert any(count(table, "192.0.2.1", times=10))
    assert not any(count(table, "192.0.2.2", times=5))


@pytest.mark.parametrize(
    ("other", "same"),
    [
        pytest.param("2001:db8:0:1:ffff:ffff:ffff:ffff", True, id="same-64"),
        pytest.param("2001:0db8::1:0:0:0:1", True, id="written-differently"),
        pytest.param("2001:db8:0:2::1", False, id="other-64"),
    ],
)
def test_a_client_is_a_64_of_ipv6(table: Table, other: str, same: bool) -> None:
    """Or it would have 2^64 limits."""
    count(table, "2001:db8:0:1::1", times=5)
    assert bool(any(count(table, other))) is same


def test_few_are_held_back_with_others(table: Table) -> None:
    """Beside a thousand clients at their limit, of ten thousand hardly any."""
    for n in range(1000):
        count(table, f"10.0.{n // 250}.{n % 250}", times=6)
    held_back = sum(bool(any(count(table, f"172.16.{n // 250}.{n % 250}"))) for n in range(10_000))
    assert held_back < 30


@pytest.mark.parametrize("left", [2**63 - 1, 2**40])
def test_what_cannot_be_is_not_believed(table: Table, left: int) -> None:
    """A number from before a reboot, when the clock was ahead, locks nobody out."""
    for slot in table.slots_of("192.0.2.1"):
        table.slots[slot] = left
    assert count(table, "192.0.2.1", times=6) == [0, 0, 0, 0, 0, 100]


def test_nobody_can_compute_whose_slots_a_client_shares() -> None:
    """They depend on a number that is only in the table."""
    other = Table(memoryview(bytearray(b"another seed.bin") + bytes(SIZE - 16)))
    ours = Table(memoryview(bytearray(SIZE)))
    assert other.slots_of("192.0.2.1") != ours.slots_of("192.0.2.1")
