"""CPU time per request, in interleaved rounds."""

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median

from benchmarks import wrk
from benchmarks.running import Running


@dataclass(frozen=True)
class Target:
    """One route of one running service."""

    name: str
    service: Running
    path: str


@dataclass(frozen=True)
class Cost:
    """
    CPU time per request of one target, against the reference.

    `microseconds` belong to the machine; `ratio` is what can be compared. Both are medians over the rounds, and `spread` is the
    lowest and the highest ratio of a round.
    """

    name: str
    microseconds: float
    ratio: float
    spread: tuple[float, float]


def compare(targets: list[Target], *, rounds: int, seconds: float) -> list[Cost]:
    """
    Measure every target in every round, each against the first target in the same round.

    Interleaving makes a machine that becomes slower, or gets company, slow for all of them alike. Every other round runs
    backwards, so that none always follows the same neighbour.
    """
    for target in targets:
        wrk.requests(target.service.url(target.path), 1)  # warm up: caches, branch predictors, adaptive interpreter
    measured: dict[str, list[float]] = {target.name: [] for target in targets}
    for number in range(rounds):
        for target in _turned(targets, number):
            before = target.service.cpu_seconds()
            answered = wrk.requests(target.service.url(target.path), seconds)
            measured[target.name].append((target.service.cpu_seconds() - before) / answered * 1e6)
    reference = measured[targets[0].name]
    return [_cost(name, times, reference) for name, times in measured.items()]


def _turned(targets: list[Target], number: int) -> Iterable[Target]:
    return reversed(targets) if number % 2 else targets


def _cost(name: str, times: list[float], reference: list[float]) -> Cost:
    ratios = [mine / theirs for mine, theirs in zip(times, reference, strict=True)]
    return Cost(name, median(times), median(ratios), (min(ratios), max(ratios)))
