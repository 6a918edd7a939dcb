"""Tandem for LlamaIndex: a vector store. It needs the extra ``llama-index``.

    store = TandemVectorStore("http://localhost:8000", collection="books")
    index = VectorStoreIndex.from_vector_store(store, embed_model=MockEmbedding(embed_dim=1))

Tandem embeds nodes and queries itself. An index demands an embedding model all the same; the store ignores its vectors
of nodes, and queries come as text.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import anyio.to_thread
from llama_index.core.bridge.pydantic import PrivateAttr
from llama_index.core.schema import BaseNode, MetadataMode
from llama_index.core.vector_stores.types import (
    BasePydanticVectorStore,
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryMode,
    VectorStoreQueryResult,
)
from llama_index.core.vector_stores.utils import metadata_dict_to_node, node_to_metadata_dict

from tandem_client import Client, FusionInput, FusionWeights, storing
from tandem_client.call import Call
from tandem_client.calls.searching import search, search_similar
from tandem_client.replies import Document, Hit, SearchResult
from tandem_contract.client_api import Filter, SearchMode

NODE_FIELD = "_node_id"
"""Field of the metadata with the node's id, for queries among some nodes."""
MMR_THRESHOLD = 0.5
"""Of a query that has none, as in LlamaIndex' own store."""

_OPERATORS = {
    FilterOperator.EQ: "$eq",
    FilterOperator.NE: "$ne",
    FilterOperator.GT: "$gt",
    FilterOperator.GTE: "$gte",
    FilterOperator.LT: "$lt",
    FilterOperator.LTE: "$lte",
    FilterOperator.IN: "$in",
    FilterOperator.NIN: "$nin",
    FilterOperator.CONTAINS: "$contains",
}
_MODES: dict[VectorStoreQueryMode, SearchMode] = {
    VectorStoreQueryMode.DEFAULT: "dense",
    VectorStoreQueryMode.MMR: "dense",
    VectorStoreQueryMode.HYBRID: "hybrid",
    VectorStoreQueryMode.SEMANTIC_HYBRID: "hybrid",
    VectorStoreQueryMode.SPARSE: "lexical",
    VectorStoreQueryMode.TEXT_SEARCH: "lexical",
}


class TandemVectorStore(BasePydanticVectorStore):
    """One collection of a Tandem gateway. Threads may share it; the asynchronous methods run in a thread."""

    stores_text: bool = True
    is_embedding_query: bool = False
    flat_metadata: bool = False

    _client: Client = PrivateAttr()
    _collection: str = PrivateAttr()

    def __init__(
        self,
        url: str | None = None,
        collection: str = "default",
        *,
        api_key: str | None = None,
        client: Client | None = None,
    ) -> None:
        """Make the store. The first nodes create the collection; until then it is empty.

        Args:
            url: of the gateway; None for ``TANDEM_URL``, or http://localhost:8000 without it.
            collection: its name.
            api_key: of the role ``ingest`` for the collection, or ``search`` for a store that is only read; None for
                that of the environment.
            client: sends the requests; the caller closes it. None makes one, which is closed when nothing uses it.
        """
        super().__init__(stores_text=True, is_embedding_query=False)
        self._client = client or storing.own_client(url, api_key)
        self._collection = collection

    @classmethod
    def class_name(cls) -> str:
        """Return the name of the class."""
        return "TandemVectorStore"

    @property
    def client(self) -> Client:
        """The client that sends the requests."""
        return self._client

    def add(self, nodes: Sequence[BaseNode], **kwargs: Any) -> list[str]:
        """Store nodes, wait until queries find them, and return their ids. A known id replaces its node.

        The metadata of a node, with what LlamaIndex needs of it, may have 16 KiB of JSON in all.

        Raises:
            TandemError: Tandem refused a node, could not embed one, or embeds none for five minutes.
        """
        return self._client.run(storing.store(map(_to_store, nodes), self._collection))

    def delete(self, ref_doc_id: str, **delete_kwargs: Any) -> None:
        """Delete the nodes of a document."""
        self._client.run(storing.remove_matching({"ref_doc_id": ref_doc_id}, self._collection))

    def delete_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None, **delete_kwargs: Any
    ) -> None:
        """Delete the nodes with these ids that match the filters; nothing if both are None."""
        if filters is None:
            self._client.run(storing.remove(node_ids or [], self._collection))
        else:
            for conditions in _each_filter(node_ids, filters):
                self._client.run(storing.remove_matching(conditions, self._collection))

    def clear(self) -> None:
        """Delete all nodes."""
        self._client.run(storing.remove_matching({}, self._collection))

    def get_nodes(self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None) -> list[BaseNode]:
        """Return the nodes with these ids that match the filters; all nodes if both are None."""
        if filters is None and node_ids is not None:
            return [_node(stored) for stored in self._client.run(storing.read(node_ids, self._collection))]
        return [
            _node(stored)
            for conditions in _each_filter(node_ids, filters)
            for stored in self._client.run(storing.read_all(conditions, self._collection))
        ]

    def query(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        """Return the nodes that match best.

        The modes are ``default`` (vector search), ``hybrid``, ``sparse`` and ``text_search`` (keywords), and ``mmr``.

        Args:
            query: with its text, or with a vector of the gateway's model alone.
            kwargs: other arguments of ``Client.search``, such as ``rerank``.

        Raises:
            ValueError: Tandem has no such mode or filter, or the query has no text and no vector.
        """
        hits = self._client.run(storing.find(_call(query, self._collection, kwargs))).results
        return VectorStoreQueryResult(
            nodes=[_node(hit) for hit in hits], similarities=[hit.score for hit in hits], ids=[hit.id for hit in hits]
        )

    async def async_add(self, nodes: Sequence[BaseNode], **kwargs: Any) -> list[str]:
        """Store nodes, as ``add`` does."""
        return await anyio.to_thread.run_sync(self.add, nodes)

    async def adelete(self, ref_doc_id: str, **delete_kwargs: Any) -> None:
        """Delete the nodes of a document."""
        await anyio.to_thread.run_sync(self.delete, ref_doc_id)

    async def adelete_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None, **delete_kwargs: Any
    ) -> None:
        """Delete nodes, as ``delete_nodes`` does."""
        await anyio.to_thread.run_sync(self.delete_nodes, node_ids, filters)

    async def aclear(self) -> None:
        """Delete all nodes."""
        await anyio.to_thread.run_sync(self.clear)

    async def aget_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None
    ) -> list[BaseNode]:
        """Return nodes, as ``get_nodes`` does."""
        return await anyio.to_thread.run_sync(self.get_nodes, node_ids, filters)

    async def aquery(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        """Return the nodes that match best, as ``query`` does."""
        return await anyio.to_thread.run_sync(partial(self.query, query, **kwargs))


def to_filter(filters: MetadataFilters) -> Filter:
    """Return the filter of Tandem for filters of LlamaIndex.

    Raises:
        ValueError: Tandem has no such operator (``text_match``, ``text_match_insensitive``, ``is_empty``).
    """
    parts = [to_filter(part) if isinstance(part, MetadataFilters) else _condition(part) for part in filters.filters]
    if not parts:
        return {}
    if filters.condition == FilterCondition.NOT:
        return {"$not": {"$or": parts}}
    return {"$or" if filters.condition == FilterCondition.OR else "$and": parts}


def _condition(part: MetadataFilter) -> Filter:
    if part.operator in _OPERATORS:
        return {part.key: {_OPERATORS[part.operator]: part.value}}
    if part.operator in (FilterOperator.ANY, FilterOperator.ALL) and isinstance(part.value, list):
        if not part.value:
            return nothing() if part.operator == FilterOperator.ANY else {}
        each = [{part.key: {"$contains": value}} for value in part.value]
        return {"$or" if part.operator == FilterOperator.ANY else "$and": each}
    raise ValueError(f"filter of {part.key}: Tandem has no operator {part.operator.value} for {part.value!r}")


def nothing() -> Filter:
    """Return a filter that no node matches: no node is without an id."""
    return {NODE_FIELD: {"$exists": False}}


def _each_filter(node_ids: list[str] | None, filters: MetadataFilters | None) -> list[Filter]:
    """Return filters that together match the nodes with these ids that match the filters; a filter has limited ids."""
    matching = {} if filters is None else to_filter(filters)
    if node_ids is None:
        return [matching]
    return [
        {"$and": [matching, {NODE_FIELD: {"$in": part}}]} if matching else {NODE_FIELD: {"$in": part}}
        for part in storing.parts(node_ids, storing.IDS_A_READ)
    ]


def _call(query: VectorStoreQuery, collection: str, options: dict[str, Any]) -> Call[SearchResult]:
    if query.mode not in _MODES:
        raise ValueError(f"Tandem has no queries of the mode {query.mode.value}")
    top_k = query.similarity_top_k
    if query.mode in (VectorStoreQueryMode.HYBRID, VectorStoreQueryMode.SEMANTIC_HYBRID):
        top_k = query.hybrid_top_k or top_k
    elif query.mode == VectorStoreQueryMode.SPARSE:
        top_k = query.sparse_top_k or top_k
    parts = [] if query.filters is None else [to_filter(query.filters)]
    for field, wanted in (("ref_doc_id", query.doc_ids), (NODE_FIELD, query.node_ids)):
        if wanted:  # a retriever sends an empty list for no restriction
            parts.append({field: {"$in": wanted}})
    options = {"collection": collection, "top_k": top_k, "filter": {"$and": parts} if parts else None, **options}
    if query.mode == VectorStoreQueryMode.MMR:
        threshold = MMR_THRESHOLD if query.mmr_threshold is None else query.mmr_threshold
        options.setdefault("diversity", 1 - threshold)
    if query.query_str:
        if _MODES[query.mode] == "hybrid" and query.alpha is not None:
            options.setdefault("fusion", FusionInput(weights=FusionWeights(dense=query.alpha, lexical=1 - query.alpha)))
        return search(query.query_str, mode=_MODES[query.mode], **options)
    if query.query_embedding is None or _MODES[query.mode] != "dense":
        raise ValueError("the query needs a text; without one it has to be a vector search with a vector")
    return search_similar(vector=query.query_embedding, **options)


def _to_store(node: BaseNode) -> dict[str, Any]:
    metadata = node_to_metadata_dict(node, remove_text=True)
    return {
        "id": node.node_id,
        "text": node.get_content(metadata_mode=MetadataMode.NONE),
        "metadata": {**metadata, NODE_FIELD: node.node_id},
    }


def _node(stored: Document | Hit) -> BaseNode:
    return metadata_dict_to_node(stored.metadata, text=stored.text)
