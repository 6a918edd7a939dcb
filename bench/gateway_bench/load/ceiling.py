"""The load client's own limit: the rate that it reaches against a server that does nothing."""

import subprocess
import sys
from collections.abc import Iterator

from gateway_bench.load.connection import Target
from gateway_bench.load.driver import Plan, run_load

LIMIT = 0.7
"""Above this share of the ceiling, a result measures the client rather than the server."""

_START_SECONDS = 10.0
_WARM_UP_SECONDS = 0.1


def is_limited_by_client(rps: float, ceiling: float) -> bool:
    """Return whether a rate is so near the ceiling that the client may limit it."""
    return rps > LIMIT * ceiling


def measure_ceiling(
    requests: Iterator[bytes], reply_body: bytes, connections: int, seconds: float, timeout: float = 10.0
) -> float:
    """Return the rate, in requests a second, of this client against a server that does nothing.

    Args:
        requests: the requests of the real run, so that sending them costs the same.
        reply_body: an answer of the real target, so that reading it costs the same.
        connections: their number in the real run.
        seconds: length of the measurement.
        timeout: for one answer, in seconds.

    Raises:
        RuntimeError: if the server does not start.
    """
    server = subprocess.Popen(
        [sys.executable, "-m", "gateway_bench.load.null_server"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert server.stdin is not None
    assert server.stdout is not None
    try:
        server.stdin.write(b"%d\n%b" % (len(reply_body), reply_body))
        server.stdin.flush()
        port = server.stdout.readline()
        if not port:
            raise RuntimeError("the server that does nothing did not start")
        target = Target("127.0.0.1", int(port), "/v1/search")
        for duration in (_WARM_UP_SECONDS, seconds):
            _, summary = run_load(target, requests, Plan(connections, seconds=duration, timeout=timeout))
        return summary.rps
    finally:
        server.stdin.close()
        try:
            server.wait(_START_SECONDS)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        server.stdout.close()
