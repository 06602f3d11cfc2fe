"""
The tiers of the tests: what each takes, and which of them may run beside which.

    scripts/tiers.py                the plan: when each tier starts and ends
    scripts/tiers.py render vm      the programs that these tiers use
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
    #: The cores it keeps busy meanwhile: CPU seconds by seconds.
    weight: float
    #: How many processes pytest runs it in.
    processes: int = 2
    #: What only one tier at a time may use.
    resource: str | None = None
    #: What its tests start, besides what Python's packages bring along.
    programs: tuple[str, ...] = ()


#: The seconds of CPU that yardstick() took where the budgets were measured.
YARDSTICK = 0.03

POSTGRES = ("postgres",)
MACHINE = ("debootstrap", "nsenter", "systemd-nspawn", "unshare")
ENGINE = ("buildah", "debootstrap", "docker", "dockerd", "iptables", "nsenter", "openssl", "podman", "slirp4netns")

#: Those that take longest begin first; the others run beside them. What a person waits for first is cheap: render.
TIERS = (
    Tier("render", 60, 52, 1.3, programs=("openssl", "shellcheck")),
    Tier("vm", 400, 445, 0.6, resource="machine", programs=(*MACHINE, "caddy", "openssl", "ssh")),
    Tier("image", 430, 431, 0.8, resource="engine", programs=ENGINE),
    Tier("boot", 430, 271, 1.5, programs=POSTGRES),
    Tier("quality", 540, 324, 1.6, programs=POSTGRES),
    Tier("edge", 200, 202, 0.8, processes=4, programs=("caddy", "certbot", "ip", "nginx", "openssl", *MACHINE)),
    Tier("update", 150, 101, 1.4),
)


def startable(waiting: Sequence[Tier], running: Iterable[Tier], cores: float) -> list[Tier]:
    """
    Those that may start now beside the ones that run, in their order: the cores and the resource have to be free.

    One that is heavier than the whole machine starts when nothing else runs.
    """
    running, chosen = list(running), []
    for tier in waiting:
        taken = {other.resource for other in running if other.resource}
        fits = sum(other.weight for other in running) + tier.weight <= cores
        if tier.resource not in taken and (fits or not running):
            running.append(tier)
            chosen.append(tier)
    return chosen


def plan(tiers: Iterable[Tier], cores: float) -> dict[str, tuple[float, float]]:
    """
    When each tier starts and ends, in seconds, if each takes as long as it says.
    """
    waiting, ends, found = list(tiers), {}, {}
    now = 0.0
    while waiting or ends:
        for tier in startable(waiting, ends, cores):
            waiting.remove(tier)
            ends[tier] = now + tier.seconds
            found[tier.name] = (now, ends[tier])
        now = min(ends.values())
        ends = {tier: end for tier, end in ends.items() if end > now}
    return found


def over_budget(tier: Tier, cpu: float, slower: float) -> bool:
    """
    Whether it used half as much again as it may. CPU, not time: beside another load a tier takes longer, not more.
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
    How many times slower this machine is than the one that the budgets were taken on; 1 for a faster one.
    """
    return max(1.0, yardstick() / YARDSTICK)


def programs(names: Iterable[str]) -> list[str]:
    """
    What these tiers start, each program once.
    """
    chosen = set(names)
    return sorted({program for tier in TIERS if tier.name in chosen for program in tier.programs})


if __name__ == "__main__":
    if sys.argv[1:]:
        print(*programs(sys.argv[1:]), sep="\n")
    else:
        for name, (start, end) in plan(TIERS, 2).items():
            print(f"{name:<10} {start:6.0f} {end:6.0f}")
