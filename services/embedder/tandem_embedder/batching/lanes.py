"""The two lanes of the queue (a request's priority, in the contract), and how many batches of each run at a time.

A run of the model cannot be interrupted, and a document takes twenty times as long as a query. If queries waited for a
worker that is done with bulk, they would wait for the longest documents. So where bulk has all workers, queries have
some more threads, and share the cores with it from the first moment on.
"""

from collections.abc import Mapping

from tandem_contract.embed import Priority

Lane = Priority
LANES: tuple[Lane, ...] = ("interactive", "bulk")
"""In the order in which they are served."""


def extra_runs(workers: int) -> int:
    """Return how many batches more than ``workers`` may run, so that so many of queries always can: half of them."""
    return (workers + 1) // 2


def has_room(lane: Lane, running: Mapping[Lane, int], workers: int) -> bool:
    """Return whether a batch of ``lane`` may run beside those that do; never more than ``workers + extra_runs``.

    Args:
        lane: whose turn it is.
        running: lane → its batches that run.
        workers: batches of one lane that run at a time.
    """
    total = sum(running.values())
    if lane == "bulk":
        return running[lane] < workers and total < workers + extra_runs(workers)
    return total < workers or running[lane] < extra_runs(workers)
