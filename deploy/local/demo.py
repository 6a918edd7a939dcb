"""``make demo``: both services, a real corpus, a few searches; the services then run until Ctrl-C."""

import sys
import textwrap
import time

from tqdm import tqdm

from local_services import LOGS, LocalServices, caller_environment, report
from tandem_tools.client import ApiError, Client
from tandem_tools.corpus import describe_standard_library, standard_library
from tandem_tools.group import interrupt_once
from tandem_tools.process import ProcessFailed

COLLECTION = "python-stdlib"
QUERIES = (
    "a temporary file that is deleted automatically",
    "cache the results of a function",
    "measure how long a small piece of code takes",
    "insert an item in a sorted list",
    "open a web page in the user's browser",
)

_POST_SIZE = 500
_WIDTH = 100


def main() -> int:
    """Run the demo and return the exit status."""
    interrupt_once()
    try:
        with (
            LocalServices(caller_environment(), report) as services,
            Client(services.gateway_url, timeout=30.0) as client,
        ):
            ingest(client, services)
            show_searches(client)
            report(f"try: {_curl(services.gateway_url)}")
            report(f"API: {services.gateway_url}/docs; logs: {LOGS}/; stop with Ctrl-C")
            services.wait()
            report("stopping: the services first answer the requests under way")
    except (ProcessFailed, ApiError) as error:
        print(f"tandem: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def ingest(client: Client, services: LocalServices) -> None:
    """Ingest the standard library's docstrings and wait until search finds them all."""
    documents = standard_library()
    report(f"corpus: {len(documents)} {describe_standard_library()}")
    started = time.monotonic()
    # All at once, so that the time until they are on disk can be shown by itself.
    jobs = [
        client.ingest(documents[start : start + _POST_SIZE], COLLECTION)
        for start in range(0, len(documents), _POST_SIZE)
    ]
    report(f"ingest: accepted in {time.monotonic() - started:.2f} s (they are on disk); embedding them")
    before = 0
    with tqdm(total=len(documents), unit="doc", desc="embedding", disable=not sys.stderr.isatty()) as bar:

        def show(done: int) -> None:
            services.check()
            bar.update(before + done - bar.n)

        for job in jobs:
            client.follow(job.job_id, show)
            before += job.total_documents
    unchanged = sum(client.job(job.job_id).unchanged_documents for job in jobs)
    seconds = time.monotonic() - started
    report(f"ingest: {len(documents) - unchanged} documents embedded, {unchanged} unchanged, in {seconds:.1f} s")


def show_searches(client: Client) -> None:
    """Search, and print the first hits of each query."""
    for query in QUERIES:
        reply = client.search(query, 3, COLLECTION)
        print(f"\n  {query!r}  ({reply.took_ms:.1f} ms)")
        for hit in reply.results:
            name, _, docstring = hit.text.partition("\n")
            line = textwrap.shorten(docstring, _WIDTH - len(name) - 14, placeholder="…")
            print(f"    {hit.score:.3f}  {name}  {line}")
    print(flush=True)


def _curl(url: str) -> str:
    return (
        f"curl -s {url}/v1/search -H 'content-type: application/json' "
        f"""-d '{{"query": "parse command line options", "collection": "{COLLECTION}"}}'"""
    )


if __name__ == "__main__":
    sys.exit(main())
