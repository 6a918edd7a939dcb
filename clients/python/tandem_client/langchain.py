"""Tandem for LangChain: a vector store and embeddings. It needs the extra ``langchain``.

    store = TandemVectorStore("http://localhost:8000", collection="books")
    store.add_texts(["The cat sat on the mat."], [{"page": 1}], ids=["mat"])
    documents = store.similarity_search("a pet on a rug", k=1, filter={"page": {"$lt": 5}})

Tandem embeds documents and queries itself, so the store takes no embeddings.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Self, TypeVar

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.runnables.config import run_in_executor
from langchain_core.vectorstores import VectorStore

from tandem_client import AsyncClient, Client, storing
from tandem_client import Document as Stored
from tandem_client.call import Procedure
from tandem_client.calls.searching import search, search_similar
from tandem_client.replies import Hit

T = TypeVar("T")
Scored = list[tuple[Document, float]]


class _Connected:
    """Clients of one gateway, and runs of procedures by the one or the other."""

    def _connect(
        self, url: str | None, api_key: str | None, client: Client | None, async_client: AsyncClient | None
    ) -> None:
        self._client = client or storing.own_client(url, api_key)
        self._async_client = async_client

    @property
    def url(self) -> str:
        """URL of the gateway."""
        return self._client.settings.url

    async def _run(self, procedure: Procedure[T]) -> T:
        """Run a procedure without holding the event loop; without an ``async_client`` in a thread."""
        if self._async_client is not None:
            return await self._async_client.run(procedure)
        return await run_in_executor(None, self._client.run, procedure)  # type: ignore[no-any-return]


class TandemEmbeddings(_Connected, Embeddings):
    """The vectors of the gateway's model, of unit length. Threads may share it."""

    def __init__(
        self,
        url: str | None = None,
        *,
        api_key: str | None = None,
        client: Client | None = None,
        async_client: AsyncClient | None = None,
    ) -> None:
        """Make it; the arguments are those of ``TandemVectorStore``."""
        self._connect(url, api_key, client, async_client)

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Return the vector of each text; the model reads the beginning of a text that is longer than its limit."""
        return self._client.run(storing.vectors(texts, "document"))

    def embed_query(self, text: str) -> list[float]:
        """Return the vector of a query."""
        return self._client.run(storing.vectors([text], "query"))[0]

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        """Return the vector of each text."""
        return await self._run(storing.vectors(texts, "document"))

    async def aembed_query(self, text: str) -> list[float]:
        """Return the vector of a query."""
        return (await self._run(storing.vectors([text], "query")))[0]


class TandemVectorStore(_Connected, VectorStore):
    """One collection of a Tandem gateway. Threads may share it."""

    def __init__(
        self,
        url: str | None = None,
        collection: str = "default",
        *,
        api_key: str | None = None,
        client: Client | None = None,
        async_client: AsyncClient | None = None,
    ) -> None:
        """Make the store. The first texts create the collection; until then it is empty.

        Args:
            url: of the gateway; None for ``TANDEM_URL``, or http://localhost:8000 without it.
            collection: its name.
            api_key: of the role ``ingest`` for the collection, or ``search`` for a store that is only read; None for
                that of the environment.
            client: sends the requests, for example with TLS settings; the caller closes it. None makes one, which is
                closed when the store is freed.
            async_client: sends those of the asynchronous methods, in one event loop; without it they use ``client`` in
                a thread.
        """
        self._connect(url, api_key, client, async_client)
        self._collection = collection

    @property
    def embeddings(self) -> TandemEmbeddings:
        """The gateway's embeddings, which are those of its collections."""
        return TandemEmbeddings(client=self._client, async_client=self._async_client)

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
            kwargs: arguments of the constructor.
        """
        store = cls(**kwargs)
        store.add_texts(texts, metadatas, ids=ids)
        return store

    @classmethod
    async def afrom_texts(
        cls,
        texts: list[str],
        embedding: Embeddings | None = None,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        **kwargs: Any,
    ) -> Self:
        """Return a store with these texts added to it, as ``from_texts`` does."""
        store = cls(**kwargs)
        await store.aadd_texts(texts, metadatas, ids=ids)
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
            ValueError: there are not as many metadatas or ids as texts, or JSON cannot say what one has.
            TandemError: Tandem refused a text, could not embed one, or embeds none for five minutes.
        """
        _refuse("add_texts", kwargs)
        return self._client.run(storing.store(_to_store(list(texts), metadatas, ids), self._collection))

    async def aadd_texts(
        self,
        texts: Iterable[str],
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """Store texts, as ``add_texts`` does."""
        _refuse("aadd_texts", kwargs)
        return await self._run(storing.store(_to_store(list(texts), metadatas, ids), self._collection))

    def delete(self, ids: list[str] | None = None, **kwargs: Any) -> bool:
        """Delete documents, or all documents if ``ids`` is None, and return true. An absent id is no error."""
        _refuse("delete", kwargs)
        self._client.run(self._delete(ids))
        return True

    async def adelete(self, ids: list[str] | None = None, **kwargs: Any) -> bool:
        """Delete documents, as ``delete`` does."""
        _refuse("adelete", kwargs)
        await self._run(self._delete(ids))
        return True

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """Return the documents that exist, each once, in the order of the ids."""
        return [_document(stored) for stored in self._client.run(storing.read(ids, self._collection))]

    async def aget_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """Return the documents that exist, as ``get_by_ids`` does."""
        return [_document(stored) for stored in await self._run(storing.read(ids, self._collection))]

    def similarity_search(self, query: str, k: int = 4, **kwargs: Any) -> list[Document]:
        """Return the documents of ``similarity_search_with_score``."""
        return _without_scores(self._client.run(self._search(query, k, kwargs)))

    async def asimilarity_search(self, query: str, k: int = 4, **kwargs: Any) -> list[Document]:
        """Return the documents of ``similarity_search_with_score``."""
        return _without_scores(await self._run(self._search(query, k, kwargs)))

    def similarity_search_with_score(self, query: str, k: int = 4, **kwargs: Any) -> Scored:
        """Return at most ``k`` documents with their scores, the best first; each has its whole text.

        Args:
            query: at most 8,192 characters.
            k: 1 to 1,000.
            kwargs: other arguments of ``Client.search``: ``filter``, ``mode``, ``min_score``, ``rerank`` and so on.
        """
        return self._client.run(self._search(query, k, kwargs))

    async def asimilarity_search_with_score(self, query: str, k: int = 4, **kwargs: Any) -> Scored:
        """Return documents with their scores, as ``similarity_search_with_score`` does."""
        return await self._run(self._search(query, k, kwargs))

    def similarity_search_by_vector(self, embedding: list[float], k: int = 4, **kwargs: Any) -> list[Document]:
        """Return the documents nearest to a vector of ``embeddings``; one of another model has meaningless results."""
        return _without_scores(self._client.run(self._search_vector(embedding, k, kwargs)))

    async def asimilarity_search_by_vector(self, embedding: list[float], k: int = 4, **kwargs: Any) -> list[Document]:
        """Return the documents nearest to a vector, as ``similarity_search_by_vector`` does."""
        return _without_scores(await self._run(self._search_vector(embedding, k, kwargs)))

    def max_marginal_relevance_search(
        self, query: str, k: int = 4, fetch_k: int = 20, lambda_mult: float = 0.5, **kwargs: Any
    ) -> list[Document]:
        """Return documents that are near to a query and unlike each other, by maximal marginal relevance.

        Args:
            query: at most 8,192 characters.
            k: number of documents.
            fetch_k: not used: Tandem chooses among the best 100 documents.
            lambda_mult: 1 for the nearest documents, 0 for those most unlike each other.
            kwargs: other arguments of ``Client.search``.
        """
        options = {"mode": "dense", **kwargs, "diversity": 1 - lambda_mult}
        return _without_scores(self._client.run(self._search(query, k, options)))

    async def amax_marginal_relevance_search(
        self, query: str, k: int = 4, fetch_k: int = 20, lambda_mult: float = 0.5, **kwargs: Any
    ) -> list[Document]:
        """Return documents, as ``max_marginal_relevance_search`` does."""
        options = {"mode": "dense", **kwargs, "diversity": 1 - lambda_mult}
        return _without_scores(await self._run(self._search(query, k, options)))

    def max_marginal_relevance_search_by_vector(
        self, embedding: list[float], k: int = 4, fetch_k: int = 20, lambda_mult: float = 0.5, **kwargs: Any
    ) -> list[Document]:
        """Return documents near to a vector, as ``max_marginal_relevance_search`` does for a query."""
        options = {**kwargs, "diversity": 1 - lambda_mult}
        return _without_scores(self._client.run(self._search_vector(embedding, k, options)))

    async def amax_marginal_relevance_search_by_vector(
        self, embedding: list[float], k: int = 4, fetch_k: int = 20, lambda_mult: float = 0.5, **kwargs: Any
    ) -> list[Document]:
        """Return documents near to a vector, as ``max_marginal_relevance_search`` does for a query."""
        options = {**kwargs, "diversity": 1 - lambda_mult}
        return _without_scores(await self._run(self._search_vector(embedding, k, options)))

    def _similarity_search_with_relevance_scores(self, query: str, k: int = 4, **kwargs: Any) -> Scored:
        """Return documents with the cosine of a vector search; LangChain wants 0 to 1, so less than 0 counts as 0."""
        return _as_relevance(self._client.run(self._search(query, k, _as_cosines(kwargs))))

    async def _asimilarity_search_with_relevance_scores(self, query: str, k: int = 4, **kwargs: Any) -> Scored:
        return _as_relevance(await self._run(self._search(query, k, _as_cosines(kwargs))))

    def _search(self, query: str, k: int, options: dict[str, Any]) -> Procedure[Scored]:
        call = search(query, top_k=k, collection=self._collection, **options)
        return _scored((yield from storing.find(call)).results)

    def _search_vector(self, vector: list[float], k: int, options: dict[str, Any]) -> Procedure[Scored]:
        call = search_similar(vector=vector, top_k=k, collection=self._collection, **options)
        return _scored((yield from storing.find(call)).results)

    def _delete(self, ids: list[str] | None) -> Procedure[int]:
        if ids is None:
            return storing.remove_matching({}, self._collection)
        return storing.remove(ids, self._collection)


def _to_store(
    texts: list[str], metadatas: list[dict[str, Any]] | None, ids: Sequence[str | None] | None
) -> Iterator[dict[str, Any]]:
    for name, values in (("metadatas", metadatas), ("ids", ids)):
        if values is not None and len(values) != len(texts):
            raise ValueError(f"{len(values)} {name} were given for {len(texts)} texts")
    return (
        {"text": text, "metadata": metadata or {}, **({} if document_id is None else {"id": document_id})}
        for text, metadata, document_id in zip(
            texts, metadatas or [{}] * len(texts), ids or [None] * len(texts), strict=True
        )
    )


def _document(stored: Stored | Hit) -> Document:
    return Document(id=stored.id, page_content=stored.text, metadata=stored.metadata)


def _scored(hits: list[Hit]) -> Scored:
    return [(_document(hit), hit.score) for hit in hits]


def _without_scores(found: Scored) -> list[Document]:
    return [document for document, _ in found]


def _as_relevance(found: Scored) -> Scored:
    return [(document, min(1.0, max(0.0, score))) for document, score in found]


def _as_cosines(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options of a search whose scores are cosines."""
    if options.keys() & {"mode", "rerank", "fusion"}:
        raise TypeError("a search with relevance scores is a vector search: it takes no mode, rerank or fusion")
    return {**options, "mode": "dense"}


def _refuse(method: str, options: dict[str, Any]) -> None:
    if options:
        raise TypeError(f"{method} takes no {', '.join(options)}")
