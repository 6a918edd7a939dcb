"""The gateways for ``golden_requests``, in this process, and the recording of their replies."""

import asyncio
import contextlib
import http.client
import json
import re
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NoReturn

from tandem_gateway import errors
from tandem_gateway.adapters.data_lock import OWNER, SNAPSHOT, DataLock
from tandem_gateway.app import make_app
from tandem_gateway.lifecycle import Gateway
from tandem_gateway.settings import Settings
from tandem_gateway.use_cases.use_cases import UseCases
from tandem_runtime.request_id import AsgiApp
from tests.gateway.http.golden_case import DOCUMENTS, TOKEN, Case, post
from tests.support.fakes import eventually
from tests.support.http_embedder import HttpFakeEmbedder
from tests.support.serving import serving

GATEWAYS = ("serving", "off", "small", "full", "anywhere", "starting", "draining", "failing", "failed")
REPLIES = Path(__file__).parent / "golden" / "replies.json"

Make = Callable[[Settings], tuple[AsgiApp, Gateway]]
"""Makes the application under test."""
Reply = dict[str, Any]

_OWNER = re.compile(r"/[^ ]+ is in use by process \d+ \([^)]+\)")
_NO_JOB = f"job_{'0' * 32}"
_NOBODY = "http://127.0.0.1:9"
_SHOWN = ("allow", "content-encoding", "content-type", "location", "retry-after", "www-authenticate")
# Headers of the server itself, and headers and fields whose values differ between runs.
_NOT_COMPARED = {"connection", "content-length", "date", "x-request-id", "x-tandem-position"}
_VOLATILE = {
    "job_id", "created_at", "started_at", "finished_at", "took_ms", "version", "score", "stable", "canary",
    "documents_per_second", "total_duration",
}  # fmt: skip
_WHOLE = {"/metrics", "/metrics/", "/openapi.json", "/openapi.json/"}
_FAILURES: dict[str, Exception] = {
    "corrupt": errors.StorageCorrupt("the store is damaged"),
    "unavailable": errors.StorageUnavailable("the disk is full"),
    "late": errors.DeadlineExceeded("not within 1 s"),
    "overloaded": errors.Overloaded("the queue is full", retry_after=6.5),
    "unexpected": KeyError("a secret"),
}


def made_by_default(settings: Settings) -> tuple[AsgiApp, Gateway]:
    return make_app(settings, lambda: None)


async def replies_of(kind: str, cases: dict[str, Case], folder: Path, make: Make = made_by_default) -> dict[str, Reply]:
    """Return the reply to each case of the gateway ``kind``; sends the requests one after another."""
    with HttpFakeEmbedder() as embedder:
        async with _gateway(kind, folder, embedder.url, make) as (port, job_id):
            return {
                name: await asyncio.to_thread(ask, port, case, job_id)
                for name, case in cases.items()
                if case.gateway == kind
            }


def ask(port: int, case: Case, job_id: str = _NO_JOB) -> Reply:
    """Send one request over a new connection, and return the recorded part of the reply."""
    status, headers, body = _sent(port, case, job_id)
    assert "x-request-id" in headers or status == 400
    shown = {name: headers[name] for name in _SHOWN if name in headers}
    others = sorted(headers.keys() - shown.keys() - _NOT_COMPARED)
    return {"status": status, "headers": shown, "other headers": others, "body": _stable(case, body, job_id)}


def _sent(port: int, case: Case, job_id: str = _NO_JOB) -> tuple[int, dict[str, str], bytes]:
    with socket.create_connection(("127.0.0.1", port), 60) as connection:
        connection.sendall(case.head(job_id))
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # refused before the end of the request
            connection.sendall(case.content())
        response = http.client.HTTPResponse(connection, method=case.method)
        response.begin()
        body = response.read()
    return response.status, {name.lower(): value for name, value in response.getheaders()}, body


def _stable(case: Case, body: bytes, job_id: str) -> Any:
    if case.target.partition("?")[0] in _WHOLE and body[:9] != b'{"error":':
        return f"<{case.target}>"
    text = _OWNER.sub("<data directory> is in use", body.decode().replace(job_id, "<job>"))
    if text.startswith("event: "):
        return [_event(part) for part in text.split("\n\n")]
    try:
        return _without_volatile(json.loads(text, parse_float=str))
    except ValueError:
        return text


def _event(part: str) -> Any:
    """Return a server-sent event as its name and its data."""
    name, _, data = part.partition("\ndata: ")
    return [name, _without_volatile(json.loads(data, parse_float=str))] if data else part


def _without_volatile(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: "<any>" if name in _VOLATILE and each is not None else _without_volatile(each)
            for name, each in value.items()
        }
    return [_without_volatile(each) for each in value] if isinstance(value, list) else value


def _settings(kind: str, data_dir: Path, embedder: str) -> Settings:
    options: dict[str, Any] = {"access_log": False, "data_dir": data_dir, "embedder_url": embedder}
    if kind in ("serving", "failing", "starting", "draining"):
        options |= {"admin_token": TOKEN, "canary_url": _NOBODY}
    if kind == "small":
        options |= {"max_body_bytes": 1024, "max_query_chars": 30, "max_documents": 3, "max_top_k": 9}
    if kind == "anywhere":
        options["insecure"] = True
        options["host"] = "0.0.0.0"  # it does not listen there; the setting makes it accept every host name
    if kind == "full":
        options |= {"max_collections": 1, "max_pending_documents": 2, "max_documents": 2, "embedder_url": _NOBODY}
    return Settings(**options)


@asynccontextmanager
async def _gateway(kind: str, folder: Path, embedder: str, make: Make) -> AsyncIterator[tuple[int, str]]:
    """Serve the gateway ``kind``; yield its port and the id of its existing job."""
    data_dir = folder / kind
    data_dir.mkdir()
    app, gateway = make(_settings(kind, data_dir, embedder))
    locks = {"starting": SNAPSHOT, "failed": OWNER}
    held = DataLock(data_dir, locks[kind]) if kind in locks else None
    try:
        async with serving(app, lifespan=True) as port:
            try:
                yield port, await _prepared(kind, gateway, port)
            finally:
                if held is not None:
                    held.release()
                    held = None
    finally:
        if held is not None:
            held.release()


async def _prepared(kind: str, gateway: Gateway, port: int) -> str:
    if kind == "starting":
        return _NO_JOB
    if kind == "failed":
        await eventually(gateway.health, lambda health: health.status == "failed")
        return _NO_JOB
    use_cases = await eventually(lambda: _ready(gateway), lambda found: found is not None)
    assert use_cases is not None
    if kind in ("serving", "draining"):
        await eventually(gateway.health, lambda health: health.embedder_up)
    gateway.draining = kind == "draining"
    if kind == "failing":
        use_cases.documents.document = _fail  # type: ignore[method-assign]
    if kind == "full":
        answer = post("/v1/ingest", {"documents": [{"id": "a", "text": "the only one"}]}, gateway=kind)
        assert (await asyncio.to_thread(ask, port, answer))["status"] == 202
    if kind != "serving":
        return _NO_JOB
    ingest = post("/v1/ingest", {"documents": DOCUMENTS, "collection": "books"})
    status, _, body = await asyncio.to_thread(_sent, port, ingest)
    assert status == 202, body
    job_id: str = json.loads(body)["job_id"]
    await eventually(lambda: use_cases.jobs.job(job_id), lambda job: job.finished_at is not None)
    return job_id


async def _ready(gateway: Gateway) -> UseCases | None:
    try:
        return gateway.ready()
    except errors.NotReady:
        return None


async def _fail(collection: str, doc_id: str) -> NoReturn:
    raise _FAILURES[doc_id]
