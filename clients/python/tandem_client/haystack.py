"""Tandem for Haystack: a document store and a retriever. They need the extra ``haystack``.

    store = TandemDocumentStore("http://localhost:8000", collection="books")
    store.write_documents([Document(content="The cat sat on the mat.", meta={"page": 1})])
    documents = TandemRetriever(store).run("a pet on a rug")["documents"]

Tandem embeds documents and queries itself: a document's own embedding is not stored, and a pipeline needs no embedder.
"""

from collections.abc import Iterable
from functools import partial
from typing import Any, Self

import anyio.to_thread
from haystack import component, default_from_dict, default_to_dict
from haystack.dataclasses import Document
from haystack.document_stores.errors import DuplicateDocumentError
from haystack.document_stores.types import DuplicatePolicy
from haystack.errors import FilterError
from haystack.utils import Secret

from tandem_client import Client, storing
from tandem_client.calls.collections import get_collection
from tandem_client.calls.searching import facets, search
from tandem_client.haystack_filters import InvalidFilter, to_filter
from tandem_client.replies import Document as Stored
from tandem_client.replies import Hit
from tandem_contract.client_api import Filter, SearchMode

KEY_VARIABLE = "TANDEM_API_KEY"


class TandemDocumentStore:
    """One collection of a Tandem gateway. Threads may share it; the asynchronous methods run in a thread."""

    def __init__(
        self,
        url: str | None = None,
        collection: str = "default",
        *,
        api_key: Secret | None = None,
        client: Client | None = None,
    ) -> None:
        """Make the store. The first documents create the collection; until then it is empty.

        Args:
            url: of the gateway; None for ``TANDEM_URL``, or http://localhost:8000 without it.
            collection: its name.
            api_key: of the role ``ingest`` for the collection, or ``search`` for a store that is only read; None for
                ``TANDEM_API_KEY``, if it is set.
            client: sends the requests; the caller closes it, and ``to_dict`` leaves it out. None makes one, which is
                closed when nothing uses it.
        """
        self.url = url
        self.collection = collection
        self.api_key = api_key or Secret.from_env_var(KEY_VARIABLE, strict=False)
        self._client = client or storing.own_client(url, self.api_key.resolve_value())

    def to_dict(self) -> dict[str, Any]:
        """Return the arguments of the store; an API key that is no variable of the environment raises ValueError."""
        arguments = {"url": self.url, "collection": self.collection, "api_key": self.api_key.to_dict()}
        found: dict[str, Any] = default_to_dict(self, **arguments)
        return found

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Make a store from what ``to_dict`` returned."""
        arguments = dict(data["init_parameters"])
        if isinstance(arguments.get("api_key"), dict):
            arguments["api_key"] = Secret.from_dict(arguments["api_key"])
        store: Self = default_from_dict(cls, {**data, "init_parameters": arguments})
        return store

    def count_documents(self) -> int:
        """Return the number of documents that searches can find."""
        asked = storing.or_absent(get_collection(self.collection))
        found = self._client.run(asked)
        return found.document_count if found else 0

    def count_documents_by_filter(self, filters: dict[str, Any]) -> int:
        """Return the number of documents that match."""
        call = facets(["_"], collection=self.collection, filter=_filter(filters), limit=1)
        asked = storing.or_absent(call)
        found = self._client.run(asked)
        return found.documents if found else 0

    def filter_documents(self, filters: dict[str, Any] | None = None) -> list[Document]:
        """Return all documents that match, in the order of their ids.

        Raises:
            FilterError: Tandem has no such filter.
        """
        return [_document(stored) for stored in self._client.run(storing.read_all(_filter(filters), self.collection))]

    def write_documents(self, documents: list[Document], policy: DuplicatePolicy = DuplicatePolicy.NONE) -> int:
        """Store documents, wait until searches find them, and return how many were stored.

        Args:
            documents: each with a content that is not blank; neither embeddings nor blobs are stored.
            policy: what to do with ids that the store has; ``NONE`` is ``FAIL``.

        Raises:
            DuplicateDocumentError: the store, or the list, has an id already, and the policy is ``FAIL``.
            ValueError: it is no list of documents, or one has a blob or no content.
            TandemError: Tandem refused a document, could not embed one, or embeds none for five minutes.
        """
        to_store = _checked(documents)
        if policy in (DuplicatePolicy.NONE, DuplicatePolicy.FAIL):
            twice = len(to_store) - len({document.id for document in to_store})
            known = self._known(to_store)
            if twice or known:
                raise DuplicateDocumentError(f"{twice + len(known)} ids are there already, such as {sorted(known)[:3]}")
        elif policy == DuplicatePolicy.SKIP:
            known = self._known(to_store)
            first = {document.id: document for document in reversed(to_store)}
            to_store = [document for name, document in first.items() if name not in known]
        lines = ({"id": one.id, "text": one.content, "metadata": one.meta} for one in to_store)
        self._client.run(storing.store(lines, self.collection))
        return len(to_store)

    def delete_documents(self, document_ids: list[str]) -> None:
        """Delete documents; an absent id is no error."""
        self._client.run(storing.remove(document_ids, self.collection))

    def delete_all_documents(self) -> None:
        """Delete all documents."""
        self._client.run(storing.remove_matching({}, self.collection))

    def delete_by_filter(self, filters: dict[str, Any]) -> int:
        """Delete the documents that match, and return how many."""
        return self._client.run(storing.remove_matching(_filter(filters) or {}, self.collection))

    def search(self, query: str, *, filters: dict[str, Any] | None = None, **options: Any) -> list[Document]:
        """Return the documents that match best, with their scores.

        Args:
            query: at most 8,192 characters.
            filters: of Haystack.
            options: other arguments of ``Client.search``: ``top_k``, ``mode``, ``rerank`` and so on.
        """
        call = search(query, collection=self.collection, filter=_filter(filters), **options)
        return [_document(hit) for hit in self._client.run(storing.find(call)).results]

    async def count_documents_async(self) -> int:
        """Return the number of documents that searches can find."""
        return await anyio.to_thread.run_sync(self.count_documents)

    async def count_documents_by_filter_async(self, filters: dict[str, Any]) -> int:
        """Return the number of documents that match."""
        return await anyio.to_thread.run_sync(self.count_documents_by_filter, filters)

    async def filter_documents_async(self, filters: dict[str, Any] | None = None) -> list[Document]:
        """Return all documents that match, as ``filter_documents`` does."""
        return await anyio.to_thread.run_sync(self.filter_documents, filters)

    async def write_documents_async(
        self, documents: list[Document], policy: DuplicatePolicy = DuplicatePolicy.NONE
    ) -> int:
        """Store documents, as ``write_documents`` does."""
        return await anyio.to_thread.run_sync(self.write_documents, documents, policy)

    async def delete_documents_async(self, document_ids: list[str]) -> None:
        """Delete documents; an absent id is no error."""
        await anyio.to_thread.run_sync(self.delete_documents, document_ids)

    async def delete_all_documents_async(self) -> None:
        """Delete all documents."""
        await anyio.to_thread.run_sync(self.delete_all_documents)

    async def delete_by_filter_async(self, filters: dict[str, Any]) -> int:
        """Delete the documents that match, and return how many."""
        return await anyio.to_thread.run_sync(self.delete_by_filter, filters)

    async def search_async(
        self, query: str, *, filters: dict[str, Any] | None = None, **options: Any
    ) -> list[Document]:
        """Return the documents that match best, as ``search`` does."""
        return await anyio.to_thread.run_sync(partial(self.search, query, filters=filters, **options))

    def _known(self, documents: list[Document]) -> set[str]:
        """Return the ids of these documents that the store has."""
        return {stored.id for stored in self._client.run(storing.read((one.id for one in documents), self.collection))}


@component
class TandemRetriever:
    """Finds the documents of a store that match a query best, by meaning, by words, or by both."""

    def __init__(
        self,
        document_store: TandemDocumentStore,
        *,
        filters: dict[str, Any] | None = None,
        top_k: int = 10,
        mode: SearchMode = "auto",
    ) -> None:
        """Make the retriever.

        Args:
            document_store: where to search.
            filters: of all queries; those of a query take their place.
            top_k: maximum number of documents.
            mode: ``auto``, ``hybrid``, ``dense`` or ``lexical``.
        """
        self.document_store = document_store
        self.filters = filters
        self.top_k = top_k
        self.mode: SearchMode = mode

    def to_dict(self) -> dict[str, Any]:
        """Return the arguments of the retriever."""
        store = self.document_store.to_dict()
        found: dict[str, Any] = default_to_dict(
            self, document_store=store, filters=self.filters, top_k=self.top_k, mode=self.mode
        )
        return found

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Make a retriever from what ``to_dict`` returned."""
        arguments = dict(data["init_parameters"])
        arguments["document_store"] = TandemDocumentStore.from_dict(arguments["document_store"])
        retriever: Self = default_from_dict(cls, {**data, "init_parameters": arguments})
        return retriever

    @component.output_types(documents=list[Document])
    def run(
        self, query: str, filters: dict[str, Any] | None = None, top_k: int | None = None
    ) -> dict[str, list[Document]]:
        """Return the documents that match best, with their scores."""
        options = self._options(filters, top_k)
        return {"documents": self.document_store.search(query, **options)}

    @component.output_types(documents=list[Document])
    async def run_async(
        self, query: str, filters: dict[str, Any] | None = None, top_k: int | None = None
    ) -> dict[str, list[Document]]:
        """Return the documents that match best, with their scores."""
        options = self._options(filters, top_k)
        return {"documents": await self.document_store.search_async(query, **options)}

    def _options(self, filters: dict[str, Any] | None, top_k: int | None) -> dict[str, Any]:
        return {
            "filters": self.filters if filters is None else filters,
            "top_k": self.top_k if top_k is None else top_k,
            "mode": self.mode,
        }


def _filter(filters: dict[str, Any] | None) -> Filter | None:
    try:
        return to_filter(filters) if filters else None
    except InvalidFilter as error:
        raise FilterError(str(error)) from error


def _checked(documents: Iterable[Any]) -> list[Document]:
    if not isinstance(documents, list) or not all(isinstance(document, Document) for document in documents):
        raise ValueError("documents: a list of haystack.Document was expected")
    for document in documents:
        if document.blob is not None or not (document.content or "").strip():
            raise ValueError(f"document {document.id}: a content was expected, which is not blank, and no blob")
    return documents


def _document(stored: Stored | Hit) -> Document:
    score = stored.score if isinstance(stored, Hit) else None
    return Document(id=stored.id, content=stored.text, meta=stored.metadata, score=score)
