"""The sample of ``tandem dev --demo``: a real corpus, and a few searches in it."""

import textwrap
import time
from collections.abc import Callable

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tandem_cli.dev.services import report
from tandem_cli.terminal import progress_console
from tandem_tools.client import Client
from tandem_tools.corpus import describe_standard_library, standard_library

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


def ingest(client: Client, check: Callable[[], None]) -> None:
    """Ingest the standard library's docstrings and wait until search finds them all.

    Args:
        client: of a gateway that is ready.
        check: raises if a service has ended.
    """
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
    with _progress() as bar:
        embedding = bar.add_task("embedding", total=len(documents))

        def show(done: int) -> None:
            check()
            bar.update(embedding, completed=before + done)

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


def curl(url: str) -> str:
    """Return a command that searches the sample."""
    return (
        f"curl -s {url}/v1/search -H 'content-type: application/json' "
        f"""-d '{{"query": "parse command line options", "collection": "{COLLECTION}"}}'"""
    )


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = progress_console()
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
