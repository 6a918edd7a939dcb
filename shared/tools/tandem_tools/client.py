"""A synchronous client of the client API, typed with the contract's messages.

    with Client("http://localhost:8000") as client:
        client.ingest_all([Document("mat", "The cat sat on the mat.")])
        reply = client.search("a pet on a rug", top_k=1)

Every error is an ``ApiError`` that says what was asked and shows the server's error envelope.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Self, TypeVar
from urllib.parse import quote

import httpx2
import msgspec

from tandem_contract.client_api import (
    DEFAULT_COLLECTION,
    Collection,
    CollectionList,
    Deleted,
    DocumentInput,
    FusionInput,
    FusionMethod,
    Health,
    Job,
    ReceivedSearchReply,
    SearchMode,
    StoredDocument,
)
from tandem_contract.errors import ReceivedErrorBody, ReceivedErrorReply
from tandem_tools.corpus import Document

INGEST_PATH = "/v1/ingest"
SEARCH_PATH = "/v1/search"

TIMEOUT_SECONDS = 60.0
STALLED_SECONDS = 300.0
"""An ingest makes progress within this time, or something is wrong."""

_BATCH = 500
_POLL_SECONDS = 0.02
_MAX_RETRY_SECONDS = 30.0
_BODY_CHARS = 500

T = TypeVar("T")
Progress = Callable[[int], None]
"""Called with the number of documents that are done, after each look at the job; may raise to give up."""


class ApiError(Exception):
    """The server did not answer, or not as expected; the message says what was asked and what came back."""

    def __init__(self, message: str, response: httpx2.Response | None = None) -> None:
        super().__init__(message)
        self.response = response
        self.status = 0 if response is None else response.status_code
        """Status of the response; 0 if nothing answered."""
        self.error = None if response is None else _envelope(response)
        """Error of the response; None if its body is no error envelope."""


class JobFailed(ApiError):
    """The gateway accepted the documents, and could not embed them."""


class _Accepted(msgspec.Struct):
    job_id: str


class _Progress(msgspec.Struct):
    """The fields of a job that tell when it ends."""

    status: str
    total_documents: int
    processed_documents: int
    error: str | None = None


class Client:
    """Calls to one server; a context manager."""

    def __init__(
        self,
        url: str,
        *,
        api_key: str = "",
        timeout: float = TIMEOUT_SECONDS,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        """Name the server; nothing is sent yet.

        Args:
            url: base URL.
            api_key: API key of the gateway; empty for a gateway without access control.
            timeout: for each answer, in seconds.
            transport: what sends the requests; None sends them over the network.
        """
        self.url = url.rstrip("/")
        # A proxy of the environment must not stand between the client and a server on the loopback.
        headers = {"authorization": f"Bearer {api_key}"} if api_key else None
        self.http = httpx2.Client(
            base_url=self.url, trust_env=False, timeout=timeout, transport=transport, headers=headers
        )
        """For requests that the methods below do not send."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self.http.close()

    def health(self) -> Health:
        """Return ``GET /healthz``."""
        return self.call("GET", "/healthz", Health)

    def ingest(
        self, documents: Sequence[DocumentInput | Document | Mapping[str, Any]], collection: str | None = None
    ) -> Job:
        """Send documents in one request, and return the job as accepted: they are on disk and not embedded yet."""
        return self.call("POST", INGEST_PATH, Job, body=_ingest_body(documents, collection), expected=202)

    def ingest_all(
        self,
        documents: Sequence[DocumentInput | Document | Mapping[str, Any]],
        collection: str | None = None,
        progress: Progress = lambda done: None,
    ) -> float:
        """Send documents in batches, wait until search finds them all, and return the seconds that took.

        The client waits and sends again if the server answers 429.

        Raises:
            ApiError: if a job makes no progress for five minutes.
            JobFailed: if a job fails.
        """
        started = time.monotonic()
        # One job after the other: a server that runs jobs side by side would otherwise get another load than one
        # that does not.
        for start in range(0, len(documents), _BATCH):
            accepted = self._accept(_ingest_body(documents[start : start + _BATCH], collection))
            self.follow(accepted.job_id, partial(_advance, progress, start))
        return time.monotonic() - started

    def job(self, job_id: str) -> Job:
        """Return a job."""
        return self.call("GET", _job_path(job_id), Job)

    def follow(self, job_id: str, progress: Progress = lambda done: None) -> None:
        """Return when a job is completed.

        Raises:
            ApiError: if it makes no progress for five minutes.
            JobFailed: if it fails.
        """
        processed, moved = 0, time.monotonic()
        while True:
            job = self.call("GET", _job_path(job_id), _Progress)
            if job.processed_documents > processed:
                processed, moved = job.processed_documents, time.monotonic()
            progress(job.total_documents if job.status == "completed" else processed)
            if job.status == "completed":
                return
            if job.status == "failed":
                raise JobFailed(f"the ingest failed: {job.error}")
            if time.monotonic() - moved > STALLED_SECONDS:
                raise ApiError(f"the ingest makes no progress: {job.error or 'no reason given'}")
            time.sleep(_POLL_SECONDS)

    def search(
        self,
        query: str,
        top_k: int | None = None,
        collection: str | None = None,
        mode: SearchMode | None = None,
        fusion: FusionMethod | FusionInput | None = None,
        offset: int | None = None,
        min_score: float | None = None,
        *,
        highlight: bool | None = None,
    ) -> ReceivedSearchReply:
        """Search; the server's default replaces what is None."""
        fields = {
            "query": query,
            "top_k": top_k,
            "collection": collection,
            "mode": mode,
            "fusion": fusion,
            "offset": offset,
            "min_score": min_score,
            "highlight": highlight,
        }
        return self.call("POST", SEARCH_PATH, ReceivedSearchReply, body=_given(fields))

    def collections(self) -> list[Collection]:
        """Return the collections."""
        return self.call("GET", "/v1/collections", CollectionList).collections

    def delete_collection(self, name: str) -> bool:
        """Delete a collection, and return whether there was one."""
        return self.call("DELETE", f"/v1/collections/{quote(name, safe='')}", Deleted).deleted

    def document(self, document_id: str, collection: str = DEFAULT_COLLECTION) -> StoredDocument:
        """Return a document."""
        return self.call("GET", _document_path(document_id, collection), StoredDocument)

    def delete_document(self, document_id: str, collection: str = DEFAULT_COLLECTION) -> bool:
        """Delete a document, and return whether there was one."""
        return self.call("DELETE", _document_path(document_id, collection), Deleted).deleted

    def call(self, method: str, path: str, kind: type[T], *, body: object = None, expected: int = 200) -> T:
        """Send a request, and return its answer as a ``kind``.

        Args:
            method: of the request.
            path: with its query.
            kind: type of the answer's JSON.
            body: encoded as JSON; bytes are sent as they are; None sends none.
            expected: status of the answer.

        Raises:
            ApiError: if nothing answers, or with another status, or with JSON of another type.
        """
        response = self.send(method, path, body=body, expected=expected)
        try:
            return msgspec.json.decode(response.content, type=kind)
        except msgspec.MsgspecError as error:
            asked = f"{method} {path.partition('?')[0]}"
            raise ApiError(f"{asked} answered no {kind.__name__}: {error}: {_shown(response)}", response) from error

    def send(self, method: str, path: str, *, body: object = None, expected: int = 200) -> httpx2.Response:
        """Send a request, and return its response; arguments and errors are those of ``call``."""
        content = body if body is None or isinstance(body, bytes) else msgspec.json.encode(body)
        headers = None if content is None else {"content-type": "application/json"}
        try:
            response = self.http.request(method, path, content=content, headers=headers)
        except httpx2.TransportError as error:
            raise ApiError(f"{method} {self.url}{path}: {str(error) or type(error).__name__}") from error
        if response.status_code != expected:
            asked = f"{method} {path.partition('?')[0]}"
            raise ApiError(f"{asked} answered {response.status_code} {_shown(response)}", response)
        return response

    def _accept(self, body: object) -> _Accepted:
        until = time.monotonic() + STALLED_SECONDS
        while True:
            try:
                return self.call("POST", INGEST_PATH, _Accepted, body=body, expected=202)
            except ApiError as error:
                if error.response is None or error.status != httpx2.codes.TOO_MANY_REQUESTS or time.monotonic() > until:
                    raise
                time.sleep(_retry_after(error.response))


def _ingest_body(documents: Sequence[DocumentInput | Document | Mapping[str, Any]], collection: str | None) -> object:
    return _given({"documents": list(documents), "collection": collection})


def _given(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _job_path(job_id: str) -> str:
    return f"/v1/jobs/{quote(job_id, safe='')}"


def _document_path(document_id: str, collection: str) -> str:
    # A path cannot name every id: a proxy may resolve "..", for example.
    return f"/v1/collections/{quote(collection, safe='')}/documents?id={quote(document_id, safe='')}"


def _advance(progress: Progress, before: int, processed: int) -> None:
    progress(before + processed)


def _envelope(response: httpx2.Response) -> ReceivedErrorBody | None:
    try:
        return msgspec.json.decode(response.content, type=ReceivedErrorReply).error
    except msgspec.MsgspecError:
        return None


def _shown(response: httpx2.Response) -> str:
    """Return an error envelope as ``code (field): message``, and any other body as its beginning."""
    error = _envelope(response)
    if error is None:
        return response.text[:_BODY_CHARS]
    field = f" ({error.param})" if error.param else ""
    return f"{error.code or error.type or 'error'}{field}: {error.message}"


def _retry_after(response: httpx2.Response) -> float:
    try:
        return min(_MAX_RETRY_SECONDS, max(0.1, float(response.headers.get("retry-after", "1"))))
    except ValueError:
        return 1.0
