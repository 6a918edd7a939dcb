"""``python -m gateway_bench.noisy``: what one caller waits beside another that sends as much as it can.

It measures a running gateway with two API keys. The light caller sends one search after the other with a pause between
them, first alone and then beside the heavy caller, in rounds. The heavy caller asks again at once after a refusal,
unless it is ``--patient`` and waits as ``Retry-After`` says. It prints the percentiles of the light caller and the
ratio of its p95. It exits with status 1 if the ratio exceeds ``--most``.
"""

import argparse
import http.client
import itertools
import math
import statistics
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import msgspec

from gateway_bench.arguments import positive, positive_whole


@dataclass
class Caller:
    """A key, and the durations of its searches in seconds; failures are counted apart."""

    url: str
    key: str
    collection: str
    patient: bool = False
    durations: list[float] = field(default_factory=list)
    refused: int = 0
    failed: int = 0

    def search_until(self, end: threading.Event, texts: "itertools.count[int]", pause: float) -> None:
        """Send searches with different queries on one connection until the end."""
        parts = urlsplit(self.url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        connection = kind(parts.netloc, timeout=60)
        headers = {"authorization": f"Bearer {self.key}", "content-type": "application/json"}
        try:
            while not end.is_set():
                query = {"query": f"question {next(texts)}", "mode": "dense", "collection": self.collection}
                started = time.perf_counter()
                try:
                    connection.request("POST", "/v1/search", msgspec.json.encode(query), headers)
                    reply = connection.getresponse()
                    reply.read()
                except (OSError, http.client.HTTPException):
                    self.failed += 1
                    connection.close()
                    end.wait(0.1)
                    continue
                if reply.status == 200:
                    self.durations.append(time.perf_counter() - started)
                elif reply.status == 429:
                    self.refused += 1
                else:
                    self.failed += 1
                end.wait(pause + pause_after(reply.status, reply.getheader("retry-after"), patient=self.patient))
        finally:
            connection.close()


def pause_after(status: int, retry_after: str | None, *, patient: bool) -> float:
    """Return the seconds that a caller waits after a reply, besides its own pause; 0 if it is not patient."""
    if not patient or status not in (429, 503) or retry_after is None or not retry_after.isdecimal():
        return 0.0
    return float(retry_after)


def percentile(durations: Sequence[float], share: float) -> float:
    """Return the smallest duration that this share of them does not exceed; NaN without any."""
    if not durations:
        return math.nan
    return sorted(durations)[max(0, math.ceil(share * len(durations)) - 1)]


def measure(
    light: Caller, heavy: Caller, *, clients: int, seconds: float, pause: float, texts: "itertools.count[int]"
) -> None:
    """Let the light caller search for some seconds, beside so many clients of the heavy one."""
    end = threading.Event()
    threads = [threading.Thread(target=light.search_until, args=(end, texts, pause))]
    threads += [threading.Thread(target=heavy.search_until, args=(end, texts, 0.0)) for _ in range(clients)]
    for thread in threads:
        thread.start()
    time.sleep(seconds)
    end.set()
    for thread in threads:
        thread.join()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    command = argparse.ArgumentParser(
        prog="python -m gateway_bench.noisy",
        description="Measure what one caller waits beside another that sends as much as it can.",
    )
    command.add_argument("url", help="URL of the gateway")
    command.add_argument("--light", required=True, metavar="KEY", help="API key of the light caller")
    command.add_argument("--heavy", required=True, metavar="KEY", help="API key of the heavy caller")
    command.add_argument("--collection", default="default", metavar="NAME", help="collection (default: default)")
    command.add_argument("-c", "--clients", type=positive_whole, default=64, help="clients of the heavy caller")
    command.add_argument("--seconds", type=positive, default=10.0, help="length of a part of a round (default: 10)")
    command.add_argument("--rounds", type=positive_whole, default=3, help="rounds (default: 3)")
    command.add_argument("--pause", type=positive, default=0.05, help="seconds between the light caller's searches")
    command.add_argument(
        "--patient", action="store_true", help="the heavy caller waits as Retry-After says (default: it does not)"
    )
    command.add_argument("--most", type=positive, default=1.5, help="largest ratio of the p95 that is good")
    options = command.parse_args(arguments)
    texts = itertools.count()
    alone, beside = (Caller(options.url, options.light, options.collection) for _ in range(2))
    heavy = Caller(options.url, options.heavy, options.collection, options.patient)
    ratios = []
    for _ in range(options.rounds):
        counted = len(alone.durations), len(beside.durations)
        pace = {"seconds": options.seconds, "pause": options.pause, "texts": texts}
        measure(alone, heavy, clients=0, **pace)
        measure(beside, heavy, clients=options.clients, **pace)
        parts = alone.durations[counted[0] :], beside.durations[counted[1] :]
        ratios.append(percentile(parts[1], 0.95) / percentile(parts[0], 0.95))
    for name, caller in (("alone", alone), ("beside", beside), ("heavy", heavy)):
        figures = ", ".join(
            f"p{share} {1000 * percentile(caller.durations, share / 100):.1f} ms" for share in (50, 95, 99)
        )
        print(f"{name}: {len(caller.durations)} searches, {figures}, {caller.refused} refused, {caller.failed} failed")
    print(f"the heavy caller {'waited as Retry-After says' if options.patient else 'did not wait after a refusal'}")
    ratio = statistics.median(ratios)
    print(f"p95 beside / alone: {ratio:.2f} (median of {len(ratios)} rounds; at most {options.most} is good)")
    if not ratio <= options.most or alone.failed or beside.failed:
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
