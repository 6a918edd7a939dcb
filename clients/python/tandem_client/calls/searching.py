"""Searches, facets, reranking and vectors."""

from collections.abc import Sequence

from tandem_client.call import Call, body_of, field_of, part, reply_of, several
from tandem_client.replies import EmbeddingResult, RerankResult, SearchResult, SearchResults
from tandem_contract.client_api import (
    DEFAULT_COLLECTION,
    DEFAULT_TOP_K,
    Consistency,
    FacetsReply,
    FacetsRequest,
    Filter,
    FusionInput,
    FusionMethod,
    HitField,
    RerankInput,
    SearchBatch,
    SearchMode,
    SearchRequest,
    SimilarRequest,
)
from tandem_contract.compatible.openai import EmbeddingsRequest, InputType, Truncation
from tandem_contract.compatible.rerank import RerankDocument, RerankRequest

_SEARCH = reply_of(SearchResult)
_BATCH = reply_of(SearchResults)
_FACETS = reply_of(FacetsReply)
_RERANK = reply_of(RerankResult)
_VECTORS = field_of(EmbeddingResult, lambda reply: [row.embedding for row in sorted(reply.data, key=lambda r: r.index)])


def search(  # noqa: PLR0913 - the fields of the API
    query: str,
    *,
    collection: str = DEFAULT_COLLECTION,
    top_k: int = DEFAULT_TOP_K,
    mode: SearchMode = "auto",
    filter: Filter | None = None,
    offset: int = 0,
    min_score: float | None = None,
    fusion: FusionMethod | FusionInput | None = None,
    rerank: RerankInput | int | None = None,
    highlight: bool = False,
    include: Sequence[HitField] = (),
    exclude: Sequence[HitField] = (),
    diversity: float = 0.0,
    group_by: str | None = None,
    explain: bool = False,
    consistency: Consistency = "strong",
) -> Call[SearchResult]:
    """Find documents, the best first.

    Args:
        query: text to search for; in all modes but ``dense`` it may have ``"a phrase"``, ``-word`` and ``prefix*``.
        collection: name of the collection to search.
        top_k: maximum number of hits.
        mode: ``auto``, ``hybrid``, ``dense`` or ``lexical``.
        filter: conditions on the metadata, such as ``{"year": {"$gte": 1960}}``.
        offset: number of hits to skip.
        min_score: lowest cosine of a hit, from -1 to 1; not with ``lexical``.
        fusion: how ``hybrid`` and ``auto`` fuse their rankings.
        rerank: number of the best documents that a reranker orders, or a ``RerankInput``.
        highlight: whether each hit tells where the query's words are.
        include: parts of a hit besides the usual ones: ``vector``.
        exclude: parts of a hit to leave out: ``text``, ``metadata``, ``passage``.
        diversity: from 0 to 1: how much the hits differ from each other.
        group_by: a metadata field; the hits are the best of each of its values.
        explain: whether the reply tells how the search came to it.
        consistency: what it finds if several gateways share the store. With ``session`` it finds all that this client
            was told before.
    """
    request = SearchRequest(
        query=query,
        collection=collection,
        top_k=top_k,
        mode=mode,
        filter=filter,
        offset=offset,
        min_score=min_score,
        fusion=fusion,
        rerank=RerankInput(rerank) if isinstance(rerank, int) else rerank,
        highlight=highlight,
        include=tuple(include),
        exclude=tuple(exclude),
        diversity=diversity,
        group_by=group_by,
        explain=explain,
        consistency=consistency,
    )
    return _found("/v1/search", request)


def search_batch(searches: Sequence[SearchRequest | str]) -> Call[SearchResults]:
    """Run several searches in one request; a string is a query with the defaults. One that fails fails all of them."""
    requests = [SearchRequest(query=item) if isinstance(item, str) else item for item in searches]
    return Call(
        "POST",
        "/v1/search/batch",
        _BATCH,
        body=body_of(SearchBatch(requests)),
        sends_deadline=True,
        sends_position=any(request.consistency == "session" for request in requests),
    )


def search_similar(  # noqa: PLR0913 - the fields of the API
    document_id: str | int | None = None,
    *,
    vector: Sequence[float] | None = None,
    collection: str = DEFAULT_COLLECTION,
    top_k: int = DEFAULT_TOP_K,
    filter: Filter | None = None,
    offset: int = 0,
    min_score: float | None = None,
    include: Sequence[HitField] = (),
    exclude: Sequence[HitField] = (),
    diversity: float = 0.0,
    group_by: str | None = None,
    explain: bool = False,
    consistency: Consistency = "strong",
) -> Call[SearchResult]:
    """Find the documents nearest to a stored document, or to a vector of the collection's model.

    Args:
        document_id: of the document; either this or ``vector``.
        vector: as many numbers as the collection's vectors have.
        collection: as in ``search``, like all other arguments.
        top_k: maximum number of hits.
        filter: conditions on the metadata.
        offset: number of hits to skip.
        min_score: lowest cosine of a hit.
        include: parts of a hit besides the usual ones.
        exclude: parts of a hit to leave out.
        diversity: from 0 to 1.
        group_by: a metadata field.
        explain: whether the reply tells how the search came to it.
        consistency: as in ``search``.
    """
    request = SimilarRequest(
        document_id=document_id,
        vector=None if vector is None else [float(number) for number in vector],
        collection=collection,
        top_k=top_k,
        filter=filter,
        offset=offset,
        min_score=min_score,
        include=tuple(include),
        exclude=tuple(exclude),
        diversity=diversity,
        group_by=group_by,
        explain=explain,
        consistency=consistency,
    )
    return _found("/v1/search/similar", request)


def facets(
    fields: Sequence[str],
    *,
    collection: str = DEFAULT_COLLECTION,
    filter: Filter | None = None,
    limit: int = 10,
) -> Call[FacetsReply]:
    """Count documents by the values of metadata fields, the most frequent values first.

    Args:
        fields: 1 to 20 names; a dot reaches a nested field.
        collection: name of the collection.
        filter: only documents that match count.
        limit: maximum number of values of a field.
    """
    path = f"/v1/collections/{part(collection, 'collection')}/facets"
    return Call("POST", path, _FACETS, body=body_of(FacetsRequest(list(fields), filter, limit)), sends_deadline=True)


def rerank(
    query: str, documents: Sequence[str], *, top_n: int | None = None, model: str | None = None
) -> Call[RerankResult]:
    """Order texts of the request by their relevance to a query; the gateway stores nothing.

    Args:
        query: text that the documents are compared with.
        documents: 1 to 1,000 texts.
        top_n: maximum number of results; None for all documents.
        model: name of the reranker's model; None for the one that serves.
    """
    texts: list[str | RerankDocument] = list(several(documents, "documents"))
    request = RerankRequest(query=query, documents=texts, model=model, top_n=top_n)
    return Call("POST", "/v2/rerank", _RERANK, body=body_of(request), sends_deadline=True)


def embed(
    texts: Sequence[str],
    *,
    input_type: InputType = "query",
    truncation: Truncation = "cut",
    dimensions: int | None = None,
    model: str | None = None,
) -> Call[list[list[float]]]:
    """Return the vector of each text, of unit length, from the embedders that serve; the gateway stores nothing.

    Args:
        texts: 1 to 2,048 texts.
        input_type: ``query`` or ``document``; matters for a model with prompts.
        truncation: ``cut`` reads the beginning of a text over the model's limit; ``error`` refuses it.
        dimensions: fewer numbers, for a model that was trained for it; None for all.
        model: name of the model; None for the one that serves.
    """
    request = EmbeddingsRequest(
        input=list(several(texts, "texts")),
        model=model,
        dimensions=dimensions,
        truncation=truncation,
        input_type=input_type,
    )
    return Call("POST", "/v1/embeddings", _VECTORS, body=body_of(request), sends_deadline=True)


def _found(path: str, request: SearchRequest | SimilarRequest) -> Call[SearchResult]:
    return Call(
        "POST",
        path,
        _SEARCH,
        body=body_of(request),
        sends_deadline=True,
        sends_position=request.consistency == "session",
    )
