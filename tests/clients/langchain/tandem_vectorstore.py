"""A LangChain vector store that keeps its documents in Tandem; this one file can be copied into a project.

    store = TandemVectorStore("http://localhost:8000", collection="books")
    store.add_texts(["The cat sat on the mat."], [{"page": 1}], ids=["mat"])
    documents = store.similarity_search("a pet on a rug", k=1, filter={"page": {"$lt": 5}})

It needs the packages langchain-core and httpx2. Tandem embeds documents and queries itself, so the store takes no
embeddings. A caller's vectors would be of another model: ``similarity_search_by_vector`` and the searches for maximal
marginal relevance raise NotImplementedError, as in LangChain's base class. The async methods are those of the base
class too: they run the others in a thread.
"""

import json
import time
import weakref
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Self
from urllib.parse import quote

import httpx2
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import VectorStore

DEFAULT_URL = "http://localhost:8000"

_INGEST_DOCUMENTS = 1000
_INGEST_BYTES = 4 << 20
"""A request ends with the document that reaches this size; the gateway takes 10,000 documents and 16 MiB."""
_IDS_A_READ = 100
_IDS_A_DELETION = 1000
_WAIT_SECONDS = 30
_STALLED_SECONDS = 300
_TIMEOUT_SECONDS = 60.0


class TandemError(Exception):
    """Tandem refused a request, or could not embed a document; the message is Tandem's."""


class TandemVectorStore(VectorStore):
    """One collection of a Tandem gateway. Threads may share it. It sends no request a second time after an error."""

    def __init__(
        self,
        url: str = DEFAULT_URL,
        collection: str = "default",
        *,
        api_key: str = "",
        client: httpx2.Client | None = None,
    ) -> None:
        """Make the store. The first texts create the collection; until then it is empty.

        Args:
            url: of the gateway.
            collection: its name.
            api_key: of the role ``ingest`` for the collection, or ``search`` for a store that is only read; empty for a
                gateway without access control, and for a ``client`` that sends a key itself.
            client: sends the requests, for example with TLS settings; the caller closes it. None makes one, which is
                closed when the store is freed.

        The other methods raise httpx2.TransportError if the gateway does not answer, and TandemError if it refuses the
        key or the name of the collection.
        """
        headers = {"authorization": f"Bearer {api_key}"} if api_key else None
        self._client = client or httpx2.Client(timeout=_TIMEOUT_SECONDS, headers=headers)
        if client is None:
            weakref.finalize(self, self._client.close)
        self._url = url.rstrip("/")
        self._collection = collection
        self._path = f"/v1/collections/{quote(collection, safe='')}"

    @classmethod
    def from_texts(
        cls,
        texts: list[str],
        embedding: Embeddings | None = None,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        **kwargs: Any,
    ) -> Self:
        """Return a store with these texts added to it.

        Args:
            texts: at most 100,000 characters each, and not blank.
            embedding: not used, because Tandem embeds the texts.
            metadatas: one for each text.
            ids: one for each text.
            kwargs: ``url``, ``collection``, ``api_key`` and ``client``.
        """
        store = cls(**kwargs)
        store.add_texts(texts, metadatas, ids=ids)
        return store

    def add_texts(
        self,
        texts: Iterable[str],
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """Store texts, wait until searches find them, and return their ids. A known id replaces its document.

        Tandem makes an id for each text without one. Many texts are sent in several requests: after an error, some of
        them may be stored.

        Raises:
            ValueError: there are not as many metadatas or ids as texts.
            TandemError: Tandem refused a text, could not embed one, or embeds none for five minutes.
        """
        if kwargs:
            raise TypeError(f"add_texts takes no {', '.join(kwargs)}")
        texts = list(texts)
        for name, values in (("metadatas", metadatas), ("ids", ids)):
            if values is not None and len(values) != len(texts):
                raise ValueError(f"{len(values)} {name} were given for {len(texts)} texts")
        documents = (
            {"text": text, "metadata": metadata, **({} if doc_id is None else {"id": doc_id})}
            for text, metadata, doc_id in zip(
                texts, metadatas or [{}] * len(texts), ids or [None] * len(texts), strict=True
            )
        )
        stored: list[str] = []
        for part in _parts(documents):
            job = self._call("POST", "/v1/ingest", {"documents": part, "collection": self._collection})
            stored += job["document_ids"]
            self._wait(job["job_id"])
        return stored

    def delete(self, ids: list[str] | None = None, **kwargs: Any) -> bool:
        """Delete documents, or all documents if ``ids`` is None, and return true. An absent id is no error."""
        if kwargs:
            raise TypeError(f"delete takes no {', '.join(kwargs)}")
        if ids is None:
            self._call("POST", f"{self._path}/documents/delete", {"filter": {}}, absent={})
            return True
        for start in range(0, len(ids), _IDS_A_DELETION):
            part = ids[start : start + _IDS_A_DELETION]
            self._call("POST", f"{self._path}/documents/delete", {"ids": part}, absent={})
        return True

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """Return the documents that exist, each once, in the order of the ids."""
        found: list[Document] = []
        unique = list(dict.fromkeys(ids))
        for start in range(0, len(unique), _IDS_A_READ):
            part = unique[start : start + _IDS_A_READ]
            reply = self._call("POST", f"{self._path}/documents/get", {"ids": part}, absent={"documents": []})
            found += [_document(stored) for stored in reply["documents"]]
        return found

    def similarity_search(self, query: str, k: int = 4, **kwargs: Any) -> list[Document]:
        """Return the documents of ``similarity_search_with_score``."""
        return [document for document, _ in self.similarity_search_with_score(query, k, **kwargs)]

    def similarity_search_with_score(self, query: str, k: int = 4, **kwargs: Any) -> list[tuple[Document, float]]:
        """Return at most ``k`` documents with their scores, the best first; each has its whole text.

        Args:
            query: at most 8,192 characters.
            k: 1 to 1,000.
            kwargs: other fields of ``POST /v1/search``: ``filter``, ``mode``, ``min_score``, ``offset``, ``fusion``.

        Raises:
            TandemError: Tandem refused a field, or cannot search now.
        """
        body = {"query": query, "top_k": k, "collection": self._collection, **kwargs}
        found = self._call("POST", "/v1/search", body, absent={"results": []})
        return [(_document(hit), hit["score"]) for hit in found["results"]]

    def _similarity_search_with_relevance_scores(
        self, query: str, k: int = 4, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        """Return documents with the cosine of a vector search; LangChain wants 0 to 1, so less than 0 counts as 0."""
        found = self.similarity_search_with_score(query, k, mode="dense", **kwargs)
        return [(document, min(1.0, max(0.0, score))) for document, score in found]

    async def _asimilarity_search_with_relevance_scores(
        self, query: str, k: int = 4, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        found = await self.asimilarity_search_with_score(query, k, mode="dense", **kwargs)
        return [(document, min(1.0, max(0.0, score))) for document, score in found]

    def _wait(self, job_id: str) -> None:
        processed, moved = 0, time.monotonic()
        while time.monotonic() - moved < _STALLED_SECONDS:
            job = self._call("GET", f"/v1/jobs/{quote(job_id, safe='')}?wait_seconds={_WAIT_SECONDS}")
            if job["status"] == "completed":
                return
            if job["status"] not in ("pending", "running"):
                failures = "; ".join(f"{failure['id']}: {failure['error']}" for failure in job["failures"])
                raise TandemError(f"job {job_id} is {job['status']}: {failures or job['error']}")
            if job["processed_documents"] > processed:
                processed, moved = job["processed_documents"], time.monotonic()
        raise TandemError(f"job {job_id} makes no progress: {job['error']}; its documents are stored and wait")

    def _call(self, method: str, path: str, body: object = None, *, absent: object = None) -> Any:
        """Send a request and return its reply; or ``absent``, if it is given and there is no such collection yet."""
        response = self._client.request(method, f"{self._url}{path}", json=body)
        if response.is_success:
            return response.json()
        try:
            error = response.json()["error"]
            if absent is not None and (error["code"], error["param"]) == ("not_found", "collection"):
                return absent
            message = error["message"]
        except (ValueError, KeyError, TypeError):  # not Tandem but something before it answered
            message = response.text[:500]
        raise TandemError(f"{method} {path} answered {response.status_code}: {message}")


def _document(stored: dict[str, Any]) -> Document:
    return Document(id=stored["id"], page_content=stored["text"], metadata=stored["metadata"] or {})


def _parts(documents: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Divide documents into parts that fit into one request each."""
    part: list[dict[str, Any]] = []
    size = 0
    for document in documents:
        part.append(document)
        size += len(json.dumps(document))
        if len(part) == _INGEST_DOCUMENTS or size >= _INGEST_BYTES:
            yield part
            part, size = [], 0
    if part:
        yield part
