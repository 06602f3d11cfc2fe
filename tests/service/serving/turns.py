"""Four processes that want to leave at the same moment, again and again."""

import multiprocessing
from multiprocessing.synchronize import Barrier

from serving import shared_state

PROCESSES = 4
# Without the lock about one round in a thousand goes wrong.
ROUNDS = 4000


def ask(age: int, together: Barrier) -> None:
    """In each round, enter, and leave together with the others; print the round if it worked."""
    for number in range(ROUNDS):
        shared_state.enter(age)
        together.wait()
        left = shared_state.leave_in_turn(age, PROCESSES)
        together.wait()
        if left:
            print(number, flush=True)


def main() -> None:
    """Fork, as gunicorn does: the memory and its lock are inherited."""
    context = multiprocessing.get_context("fork")
    together = context.Barrier(PROCESSES, timeout=15)
    asking = [context.Process(target=ask, args=(age, together)) for age in range(PROCESSES)]
    for process in asking:
        process.start()
    for process in asking:
        process.join()


if __name__ == "__main__":
    main()
