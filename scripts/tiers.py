"""
The tiers of the tests: what each takes, and which of them may run beside which.

    python3 scripts/tiers.py [CORES]            the plan: when each tier starts and ends
    python3 scripts/tiers.py programs [TIER …]  the programs that these tiers use, or all of them
"""

import json
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Tier:
    """
    One directory of tests. Its numbers are those of a clean clone on two cores.
    """

    name: str
    #: The CPU it may use, in seconds of the machine that YARDSTICK was taken on.
    budget: int
    #: How long it takes while nothing else runs.
    seconds: int
    #: How many processes pytest runs it in.
    processes: int = 2
    #: What only one tier at a time may use.
    resource: str | None = None
    #: What its tests start, besides what Python's packages bring along.
    programs: tuple[str, ...] = ()

    @property
    def weight(self) -> float:
        """
        The cores it keeps busy. Where most of it is waiting, for a machine or for a time-out, that is less than one.
        """
        return self.budget / self.seconds


#: So many more cores than there are may be spoken for: a tier is not always as heavy as on average.
SURPLUS = 1.0
#: The seconds of CPU that yardstick() took where the budgets were measured.
YARDSTICK = 0.034

POSTGRES = ("postgres",)
MACHINE = ("debootstrap", "nsenter", "systemd-nspawn", "unshare")
ENGINE = (
    "buildah",
    "debootstrap",
    "docker",
    "dockerd",
    "ip",
    "iptables",
    "nsenter",
    "openssl",
    "podman",
    "slirp4netns",
)

#: In the order in which the plan ends first: what waits for most of its time runs beside what does not.
TIERS = (
    Tier("render", 85, 60, programs=("shellcheck",)),
    Tier("vm", 700, 900, resource="machine", programs=(*MACHINE, "caddy", "openssl", "ssh")),
    Tier("boot", 380, 320, programs=POSTGRES),
    Tier("image", 600, 480, resource="engine", programs=ENGINE),
    Tier("quality", 230, 165, programs=(*POSTGRES, "bsdtar")),
    Tier("edge", 90, 150, processes=4, programs=("caddy", "certbot", "ip", "nginx", "openssl", *MACHINE)),
    Tier("update", 215, 110),
)


def startable(waiting: Sequence[Tier], running: Iterable[Tier], cores: float) -> list[Tier]:
    """
    Those that may start now beside the ones that run, in their order: cores and the resource have to be free.

    One that is heavier than the whole machine starts when nothing else runs.
    """
    running, chosen = list(running), []
    for tier in waiting:
        taken = {other.resource for other in running if other.resource}
        fits = sum(other.weight for other in running) + tier.weight <= cores + SURPLUS
        if tier.resource not in taken and (fits or not running):
            running.append(tier)
            chosen.append(tier)
    return chosen


def plan(tiers: Iterable[Tier], cores: float) -> dict[str, tuple[float, float]]:
    """
    When each tier starts and ends, in seconds, if each is as it says; all are slower where the cores do not suffice.
    """
    waiting = list(tiers)
    left: dict[Tier, float] = {}
    begun: dict[Tier, float] = {}
    found: dict[str, tuple[float, float]] = {}
    now = 0.0
    while waiting or left:
        for tier in startable(waiting, left, cores):
            waiting.remove(tier)
            left[tier], begun[tier] = tier.seconds, now
        slower = max(1.0, sum(tier.weight for tier in left) / cores)
        first = min(left, key=lambda tier: left[tier])
        passed = left.pop(first)
        left = {tier: seconds - passed for tier, seconds in left.items()}
        now += passed * slower
        found[first.name] = (begun[first], now)
    return found


def over_budget(tier: Tier, cpu: float, slower: float) -> bool:
    """
    Tell whether it used half as much again as it may. CPU, not time: beside another load a tier takes longer, not more.
    """
    return cpu > 1.5 * tier.budget * slower


def yardstick() -> float:
    """
    The seconds of CPU that a certain piece of work takes here: the best of several tries.
    """

    def work() -> float:
        begun = time.process_time()
        text = json.dumps([{"name": f"item {number}", "tags": [str(number % 7)] * 5} for number in range(400)])
        for _ in range(250):
            sorted((item["name"] for item in json.loads(text)), key=lambda name: name[::-1])
        return time.process_time() - begun

    return min(work() for _ in range(5))


def slowness() -> float:
    """
    Tell how many times slower this machine is than the one that the budgets were taken on; 1 for a faster one.
    """
    return max(1.0, yardstick() / YARDSTICK)


def programs(names: Iterable[str] = ()) -> list[str]:
    """
    The programs that these tiers start, or all of them do, each once.
    """
    chosen = set(names) or {tier.name for tier in TIERS}
    return sorted({program for tier in TIERS if tier.name in chosen for program in tier.programs})


if __name__ == "__main__":
    if sys.argv[1:2] == ["programs"]:
        print(*programs(sys.argv[2:]), sep="\n")
    else:
        for name, (start, end) in plan(TIERS, float(sys.argv[1] if sys.argv[1:] else 2)).items():
            print(f"{name:<10} {start:6.0f} {end:6.0f}")
