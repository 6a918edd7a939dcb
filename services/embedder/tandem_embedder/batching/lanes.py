"""The queue's two lanes (a request's priority, in the contract), and the number of batches that each may run.

The scheduler cannot interrupt a running batch, and a document takes twenty times as long as a query. If queries waited
for a worker to finish bulk, they would wait for the longest documents. So when bulk occupies all workers, queries get
extra threads and share the cores with bulk immediately.
"""

from collections.abc import Mapping

from tandem_contract.embed import Priority

Lane = Priority
LANES: tuple[Lane, ...] = ("interactive", "bulk")
"""In serving order."""


def extra_runs(workers: int) -> int:
    """Return the number of batches that may run beyond ``workers``, reserved for queries: half of ``workers``.

    The result is rounded up, so that at least one interactive batch can always run.
    """
    return (workers + 1) // 2


def has_room(lane: Lane, running: Mapping[Lane, int], workers: int) -> bool:
    """Return whether another batch of ``lane`` may start. At most ``workers + extra_runs`` batches run in total.

    Args:
        lane: lane of the new batch.
        running: lane → number of running batches.
        workers: maximum number of batches of one lane that run at the same time.
    """
    total = sum(running.values())
    if lane == "bulk":
        return running[lane] < workers and total < workers + extra_runs(workers)
    return total < workers or running[lane] < extra_runs(workers)
