"""``make demo``: both services, a real corpus, a few searches; then they go on until Ctrl-C."""

import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import httpx
from tqdm import tqdm

import corpus
from processes import CannotRun, Services, environment

COLLECTION = "python-stdlib"
QUERIES = (
    "a temporary file that is deleted automatically",
    "cache the results of a function",
    "measure how long a small piece of code takes",
    "insert an item in a sorted list",
    "open a web page in the user's browser",
)

_POST_SIZE = 500
_POLL_SECONDS = 0.1
# The ingest makes progress long before this, or something is wrong.
_STALLED_SECONDS = 60.0
_WIDTH = 100


def main() -> int:
    """Run the demonstration and return the exit status."""
    logs = Path(".cache") / "logs"
    try:
        with (
            Services(logs, environment(), report) as services,
            httpx.Client(base_url=services.gateway_url, trust_env=False, timeout=30.0) as client,
        ):
            ingest(client, services)
            show_searches(client)
            report(f"try: {_curl(services.gateway_url)}")
            report(f"API: {services.gateway_url}/docs; logs: {logs}/; stop with Ctrl-C")
            services.wait()
            report("stopping: requests under way are finished first")
    except (CannotRun, httpx.HTTPError) as error:
        print(f"tandem: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def ingest(client: httpx.Client, services: Services) -> None:
    """Ingest the standard library's docstrings and wait until search finds them all."""
    documents = [
        {"id": entry.id, "text": entry.text, "metadata": {"module": entry.module, "kind": entry.kind}}
        for entry in corpus.entries()
    ]
    report(f"corpus: {len(documents)} docstrings of Python {sys.version.split()[0]}'s standard library")
    started = time.monotonic()
    jobs = []
    for start in range(0, len(documents), _POST_SIZE):
        body = {"documents": documents[start : start + _POST_SIZE], "collection": COLLECTION}
        jobs.append(_checked(client.post("/v1/ingest", json=body))["job_id"])
    report(f"ingest: accepted in {time.monotonic() - started:.2f} s (they are on disk); embedding them")
    unchanged = _follow(client, services, jobs, len(documents))
    seconds = time.monotonic() - started
    embedded = len(documents) - unchanged
    report(f"ingest: {embedded} documents embedded, {unchanged} unchanged, in {seconds:.1f} s")


def show_searches(client: httpx.Client) -> None:
    """Search, and print what comes first."""
    for query in QUERIES:
        body = {"query": query, "top_k": 3, "collection": COLLECTION}
        reply = _checked(client.post("/v1/search", json=body))
        print(f"\n  {query!r}  ({reply['took_ms']:.1f} ms)")
        for hit in reply["results"]:
            name, _, docstring = hit["text"].partition("\n")
            line = textwrap.shorten(docstring, _WIDTH - len(name) - 14, placeholder="…")
            print(f"    {hit['score']:.3f}  {name}  {line}")
    print(flush=True)


def report(line: str) -> None:
    """Print a line at once."""
    print(f"tandem: {line}", flush=True)


def _follow(client: httpx.Client, services: Services, jobs: list[str], total: int) -> int:
    unchanged = 0
    processed = dict.fromkeys(jobs, 0)
    moved = time.monotonic()
    with tqdm(total=total, unit="doc", desc="embedding", disable=not sys.stderr.isatty()) as bar:
        waiting = list(jobs)
        while waiting:
            services.check()
            job = _checked(client.get(f"/v1/jobs/{waiting[0]}"))
            step = job["processed_documents"] - processed[job["job_id"]]
            if step:
                bar.update(step)
                processed[job["job_id"]] += step
                moved = time.monotonic()
            if job["status"] in {"completed", "failed"}:
                if job["status"] == "failed":
                    raise CannotRun(f"job {job['job_id']} failed: {job['error']}")
                unchanged += job["unchanged_documents"]
                waiting.pop(0)
                continue
            if time.monotonic() - moved > _STALLED_SECONDS:
                raise CannotRun(f"the ingest stands still: {job['error'] or 'no reason given'}")
            time.sleep(_POLL_SECONDS)
    return unchanged


def _checked(response: httpx.Response) -> dict[str, Any]:
    if response.is_error:
        raise CannotRun(f"{response.request.url.path} answered {response.status_code}: {response.text}")
    found: dict[str, Any] = response.json()
    return found


def _curl(url: str) -> str:
    return (
        f"curl -s {url}/v1/search -H 'content-type: application/json' "
        f"""-d '{{"query": "parse command line options", "collection": "{COLLECTION}"}}'"""
    )


if __name__ == "__main__":
    sys.exit(main())
