"""The client API as the benchmark uses it outside of what it times: health, ingest, one search."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any
from urllib.parse import quote

import httpx2 as httpx

from gateway_bench.corpus import Document
from tandem_contract.client_api import DEFAULT_COLLECTION

SEARCH_PATH = "/v1/search"

_POST_DOCUMENTS = 500
_POLL_SECONDS = 0.02
_STALLED_SECONDS = 300.0
_MAX_RETRY_SECONDS = 30.0


class ApiError(Exception):
    """The server does not answer, or not as it should; the message says what was asked and what came back."""


class SearchRefused(ApiError):
    """A search was refused for a field of it; ``param`` names the field where the server does."""

    def __init__(self, message: str, param: str | None) -> None:
        super().__init__(message)
        self.param = param


class Api:
    """Calls to one server; a context manager."""

    def __init__(self, url: str, timeout: float = 60.0) -> None:
        self.url = url.rstrip("/")
        # A proxy of the environment must not stand between the client and what it measures.
        self._http = httpx.Client(trust_env=False, timeout=timeout)

    def __enter__(self) -> "Api":
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def status_of(self, url: str) -> int:
        """Return the status that a URL answers, 0 if nothing does."""
        try:
            return self._http.get(url, timeout=2.0).status_code
        except httpx.TransportError:
            return 0

    def health(self) -> dict[str, Any]:
        """Return what ``GET /healthz`` says."""
        return _object(self._send("GET", "/healthz"), "GET /healthz")

    def document_count(self) -> int:
        """Return how many documents the server says it has."""
        count = self.health().get("document_count")
        if not isinstance(count, int):
            raise ApiError(f"GET /healthz of {self.url} has no document_count: {count!r}")
        return count

    def collections(self) -> list[str]:
        """Return the names of the collections that hold documents; none of a server that does not know the route."""
        response = self._send("GET", "/v1/collections")
        try:
            entries = response.json()["collections"]
            return [str(entry["name"]) for entry in entries if entry["document_count"]]
        except (ValueError, KeyError, TypeError):
            return []

    def search(self, body: bytes) -> bytes:
        """Return the body of a search's answer.

        Raises:
            SearchRefused: if it is a 400, 404 or 422.
            ApiError: for every other answer that is not 200.
        """
        response = self._send("POST", SEARCH_PATH, content=body)
        if response.status_code in (400, 404, 422):
            message, param = _refusal(response)
            raise SearchRefused(message or _said(response, f"POST {SEARCH_PATH}"), param)
        _object(response, f"POST {SEARCH_PATH}")
        return response.content

    def ingest(
        self,
        documents: Sequence[Document],
        collection: str | None = None,
        progress: Callable[[int], None] = lambda done: None,
    ) -> float:
        """Ingest documents, wait until search finds them all, and return the seconds that took.

        Raises:
            ApiError: if a job fails, or makes no progress for five minutes.
        """
        started = time.monotonic()
        # One job after the other: an architecture that runs jobs side by side would otherwise be given another load.
        for start in range(0, len(documents), _POST_DOCUMENTS):
            job = self._accept(documents[start : start + _POST_DOCUMENTS], collection)
            self._follow(job, partial(_advance, progress, start))
        return time.monotonic() - started

    def delete_document(self, document_id: str, collection: str = DEFAULT_COLLECTION) -> None:
        """Delete a document."""
        path = f"/v1/collections/{collection}/documents/{quote(document_id, safe='')}"
        _object(self._send("DELETE", path), f"DELETE {path}")

    def make_empty_collection(self) -> None:
        """Let the default collection exist with nothing in it, on a server that answers 404 where there is none."""
        if self._send("POST", SEARCH_PATH, json={"query": "anything"}).status_code != 404:
            return
        document = Document("to-be-deleted", "A document that is deleted at once.")
        self.ingest([document])
        self.delete_document(document.id)

    def _accept(self, documents: Sequence[Document], collection: str | None) -> str:
        body: dict[str, Any] = {"documents": [{"id": document.id, "text": document.text} for document in documents]}
        if collection is not None:
            body["collection"] = collection
        until = time.monotonic() + _STALLED_SECONDS
        while True:
            response = self._send("POST", "/v1/ingest", json=body)
            if response.status_code != 429 or time.monotonic() > until:
                break
            time.sleep(_retry_after(response))
        return str(_object(response, "POST /v1/ingest", 202)["job_id"])

    def _follow(self, job_id: str, progress: Callable[[int], None]) -> None:
        processed, moved = 0, time.monotonic()
        while True:
            job = _object(self._send("GET", f"/v1/jobs/{job_id}"), "GET /v1/jobs")
            if job["processed_documents"] > processed:
                processed, moved = int(job["processed_documents"]), time.monotonic()
                progress(processed)
            if job["status"] == "completed":
                progress(int(job["total_documents"]))
                return
            if job["status"] == "failed":
                raise ApiError(f"the ingest failed: {job['error']}")
            if time.monotonic() - moved > _STALLED_SECONDS:
                raise ApiError(f"the ingest makes no progress: {job.get('error') or 'no reason given'}")
            time.sleep(_POLL_SECONDS)

    def _send(self, method: str, path: str, **content: Any) -> httpx.Response:
        headers = {"content-type": "application/json"} if "content" in content else None
        try:
            return self._http.request(method, self.url + path, headers=headers, **content)
        except httpx.TransportError as error:
            raise ApiError(f"{method} {self.url}{path}: {error or type(error).__name__}") from error


def _advance(progress: Callable[[int], None], before: int, processed: int) -> None:
    progress(before + processed)


def _object(response: httpx.Response, asked: str, status: int = 200) -> dict[str, Any]:
    if response.status_code != status:
        raise ApiError(_said(response, asked))
    try:
        found = response.json()
    except ValueError as error:
        raise ApiError(f"{asked} answered what is no JSON: {response.text[:200]!r}") from error
    if not isinstance(found, dict):
        raise ApiError(f"{asked} answered no JSON object: {response.text[:200]!r}")
    return found


def _said(response: httpx.Response, asked: str) -> str:
    return f"{asked} answered {response.status_code}: {response.text[:500]}"


def _refusal(response: httpx.Response) -> tuple[str | None, str | None]:
    """Return message and field of an error in Tandem's shape, None where it is in another."""
    try:
        error = response.json()["error"]
        return str(error["message"]), str(error["param"])
    except (ValueError, KeyError, TypeError):
        return None, None


def _retry_after(response: httpx.Response) -> float:
    try:
        return min(_MAX_RETRY_SECONDS, max(0.1, float(response.headers.get("retry-after", "1"))))
    except ValueError:
        return 1.0
