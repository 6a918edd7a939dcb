"""One message of each kind with every field set; ``golden/`` has their bytes."""

import numpy as np

from tandem_contract.admin_api import (
    Key,
    KeyList,
    KeyRequest,
    KeyUsage,
    NewKey,
    UsageList,
)
from tandem_contract.client_api import (
    DocumentFailure,
    DocumentInput,
    DocumentPatch,
    FilesJob,
    FusionInput,
    FusionWeights,
    HitPassage,
    HitScores,
    IngestedFile,
    IngestRequest,
    Job,
    JobDocument,
    JobDocumentList,
    ReceivedSearchHit,
    ReceivedSearchReply,
    Reembedding,
    RerankInput,
    RetriedJob,
    SearchRequest,
    SimilarRequest,
    SkippedDocument,
    SourceEntry,
    SourceList,
    SourceReply,
    SpaceOverlap,
)
from tandem_contract.compatible.ollama import OllamaEmbedReply, OllamaEmbedRequest
from tandem_contract.compatible.open_webui import LoadedDocument, WebSearchRequest, WebSearchResult
from tandem_contract.compatible.openai import Embedding, EmbeddingsReply, EmbeddingsRequest, Usage
from tandem_contract.compatible.rerank import (
    ApiVersion,
    RerankDocument,
    RerankMeta,
    RerankReply,
    RerankRequest,
    RerankResult,
    RerankUsage,
    TeiRank,
    TeiRerankRequest,
)
from tandem_contract.compatible.tei import TeiEmbedRequest, TeiInfo
from tandem_contract.embed import (
    Chunking,
    EmbedReply,
    EmbedRequest,
    PackedEmbedReply,
    Passage,
    ReadyReply,
)
from tandem_contract.errors import ErrorBody, ErrorReply

VECTORS = np.array([[1.0, 0.0, 0.0], [0.0, -0.6, 0.8]], dtype="<f4")

# File name → message. The extension is the encoding.
SAMPLES: dict[str, object] = {
    "web_search_request.json": WebSearchRequest(query="a query", count=3),
    "web_search_result.json": WebSearchResult(link="https://a.example/", title="A title", snippet="A passage."),
    "loaded_document.json": LoadedDocument(page_content="A text.", metadata={"file": "a.pdf", "page": 1}),
    "key_request_with_limits.json": KeyRequest(
        "shop", "ingest", ["shop-*", "faq"], 3600, {"tenant": "a"}, ["requests=100/minute:burst=20"]
    ),
    "usage_list.json": UsageList([KeyUsage("2026-01-31", "0123456789ab", 12, 345, 6)]),
    "new_key_with_limits.json": NewKey(
        id="0123456789ab",
        name="shop",
        role="ingest",
        collections=["shop-*", "faq"],
        created_at="2026-01-02T03:04:05.678Z",
        expires_at="2026-01-02T04:04:05.678Z",
        last_used_at=None,
        revoked_at=None,
        filter={"tenant": "a"},
        key="the text",
        limits=["requests=100/minute:burst=20"],
    ),
    "key_list_with_limits.json": KeyList(
        [
            Key(
                id="0123456789ab",
                name="shop",
                role="ingest",
                collections=["*"],
                created_at="2026-01-02T03:04:05.678Z",
                expires_at=None,
                last_used_at="2026-01-02T03:05:05.678Z",
                revoked_at="2026-01-03T03:04:05.678Z",
                filter={"tenant": "a"},
            )
        ]
    ),
    "embeddings_request.json": EmbeddingsRequest(
        input=["a text"], model="m", encoding_format="base64", dimensions=3, truncation="error", input_type="document"
    ),
    "ollama_embed_request.json": OllamaEmbedRequest(input=["a text"], model="m", truncate=False, dimensions=3),
    "ollama_embed_reply.json": OllamaEmbedReply("m", [[1.0, 0.0, 0.0]], 1_250_000, 0, 7),
    "tei_embed_request.json": TeiEmbedRequest(inputs="a text", normalize=True, truncate=True, dimensions=3),
    "tei_info.json": TeiInfo("m", "0" * 64, "int8", 256, 2048, "0.1.0"),
    "embeddings_reply.json": EmbeddingsReply(
        data=[Embedding(0, [1.0, 0.0, 0.0]), Embedding(1, "AAAAAJqZGb/NzEw/")], model="m", usage=Usage(7, 7)
    ),
    "source_list.json": SourceList(documents=[SourceEntry("a/b", "v1"), SourceEntry(7, "0" * 64)]),
    "source_reply.json": SourceReply(missing=["a/b"], changed=["7"], deleted_documents=2),
    "ingest_request_with_source.json": IngestRequest(
        documents=[DocumentInput(text="a text", format="markdown", source="shelf", hash="v1")],
        collection="books",
        on_error="skip",
    ),
    "document_patch.json": DocumentPatch(metadata={"page": 2, "tags": None, "author": {"name": "Ada", "born": None}}),
    "embed_request.msgpack": EmbedRequest(
        texts=["a text", "\N{GRINNING FACE} ü\n"], kind="query", truncate=False, priority="bulk"
    ),
    "embed_request_with_chunking.msgpack": EmbedRequest(
        texts=["a text"], priority="bulk", chunking=Chunking(128, 12, "markdown")
    ),
    "embed_request_with_chunking.json": EmbedRequest(texts=["a text"], chunking=Chunking(128, 12, "markdown")),
    "packed_embed_reply_with_passages.msgpack": PackedEmbedReply(
        embeddings=VECTORS.tobytes(),
        dim=3,
        model="m",
        fingerprint="0" * 64,
        tokens=[4, 256],
        truncated=[False, True],
        unknown=[0.0, 0.25],
        passages=[Passage(0, 0, 6, 4), Passage(0, 7, 300, 256)],
    ),
    "embed_reply_with_passages.json": EmbedReply(
        embeddings=[[1.0, 0.0, 0.0], [0.0, -0.6, 0.8]],
        dim=3,
        model="m",
        fingerprint="0" * 64,
        tokens=[4, 256],
        truncated=[False, True],
        unknown=[0.0, 0.25],
        passages=[Passage(0, 0, 6, 4), Passage(0, 7, 300, 256)],
    ),
    "embed_request.json": EmbedRequest(texts=["a text"], kind="query", truncate=False, priority="bulk"),
    "packed_embed_reply_with_unknown.msgpack": PackedEmbedReply(
        embeddings=VECTORS.tobytes(),
        dim=3,
        model="m",
        fingerprint="0" * 64,
        tokens=[4, 256],
        truncated=[False, True],
        unknown=[0.0, 0.25],
    ),
    "embed_reply_with_unknown.json": EmbedReply(
        embeddings=[[1.0, 0.0, 0.0], [0.0, -0.6, 0.8]],
        dim=3,
        model="m",
        fingerprint="0" * 64,
        tokens=[4, 256],
        truncated=[False, True],
        unknown=[0.0, 0.25],
    ),
    "ready_reply.json": ReadyReply(model="m", fingerprint="0" * 64, dim=3, max_seq_length=256, precision="int8"),
    "error_reply.json": ErrorReply(
        ErrorBody(
            message="top_k: too large", type="invalid_request_error", code="limit_exceeded", param="documents[3].text"
        )
    ),
    "job_with_retry.json": Job(
        job_id="job_0123456789abcdef0123456789abcdef",
        status="pending",
        total_documents=1,
        processed_documents=0,
        error=None,
        started_at=None,
        finished_at=None,
        created_at="2026-01-01T00:00:00.000Z",
        document_ids=["d"],
        skipped_documents=2,
        skipped=[
            SkippedDocument(0, "a/b", "documents[0].text", "documents[0].text: a text was expected"),
            SkippedDocument(2, None, "documents[2]", "documents[2]: an object was expected"),
        ],
    ),
    "search_reply_with_passage.json": ReceivedSearchReply(
        results=[
            ReceivedSearchHit(
                "a/b", 0.75, "a text", {"s": "x", "l": ["p"]}, HitScores(0.5, 7.25), HitPassage("text", 2, 6, 1)
            ),
            ReceivedSearchHit("c", 0.5, "another", {}, HitScores(None, 2.5), HitPassage("another", 0, 7, 0)),
        ],
        took_ms=1.25,
        mode="hybrid",
        degraded=True,
        query_truncated=True,
        warnings=["unknown_tokens"],
    ),
    "retried_job.json": RetriedJob(
        job_id="job_0123456789abcdef0123456789abcdef",
        status="running",
        total_documents=4,
        processed_documents=2,
        error=None,
        started_at="2026-01-01T00:00:00.001Z",
        finished_at=None,
        created_at="2026-01-01T00:00:00.000Z",
        collection="books",
        failed_documents=1,
        failures=[DocumentFailure("a/b", "refused")],
        retried_at="2026-01-01T00:00:02.000Z",
        retried_documents=2,
        lost_documents=1,
    ),
    "files_job_with_retry.json": FilesJob(
        job_id="job_1",
        status="pending",
        total_documents=2,
        processed_documents=0,
        error=None,
        started_at=None,
        finished_at=None,
        document_ids=["rows.csv#1", "rows.csv#2"],
        files=[IngestedFile("rows.csv", 2), IngestedFile("a.exe", 0, "its name has to end in another way")],
    ),
    "job_documents.json": JobDocumentList(
        [JobDocument("a/b", "failed", "refused"), JobDocument("c", "embedded")], next_cursor="MiBqb2I="
    ),
    "similar_request_with_groups.json": SimilarRequest(
        vector=[0.5, -1.0],
        top_k=7,
        collection="books",
        offset=10,
        min_score=0.25,
        filter={"lang": "en"},
        include=("vector",),
        exclude=("text",),
        explain=True,
        diversity=0.5,
        group_by="lang",
    ),
    "search_request_with_everything.json": SearchRequest(
        query="what?",
        top_k=7,
        collection="books",
        mode="hybrid",
        fusion=FusionInput("rrf", FusionWeights(0.3, 0.7), 20),
        offset=10,
        min_score=0.25,
        filter={"year": {"$gte": 1960}, "lang": "en"},
        highlight=True,
        include=("vector",),
        exclude=("text", "metadata"),
        explain=True,
        diversity=0.5,
        group_by="author.name",
        rerank=RerankInput(50, "a-reranker"),
    ),
    "search_request_with_consistency.json": SearchRequest(query="what?", consistency="session"),
    "similar_request_with_consistency.json": SimilarRequest(document_id="a", consistency="bounded"),
    "search_reply_with_everything.json": ReceivedSearchReply(
        results=[
            ReceivedSearchHit(
                "a/b",
                0.75,
                "a text",
                {},
                HitScores(0.5, 7.25, 0.875),
                HitPassage("text", 2, 6, 1, [(0, 4)]),
                [(0, 1), (2, 6)],
                [0.0, -0.6000000238418579],
            ),
            ReceivedSearchHit("c", 0.5, "another", {}, HitScores(0.5, None, None), None, [], None),
        ],
        took_ms=1.25,
        warnings=["only_exclusions"],
        reranked=True,
    ),
    "rerank_request.json": RerankRequest("what?", ["a text", RerankDocument("another")], "m", 1, True),
    "rerank_reply.json": RerankReply(
        "an-id",
        [RerankResult(1, 0.75, RerankDocument("another")), RerankResult(0, 0.5)],
        RerankMeta(ApiVersion("2"), ["documents[0]: is longer than the model reads; only its beginning counts"]),
        "m",
        RerankUsage(7),
    ),
    "tei_rerank_request.json": TeiRerankRequest("what?", ["a text", "another"], True, True),
    "tei_rank.json": TeiRank(1, 0.75, "another"),
    "reembedding.json": Reembedding(
        collection="books",
        status="filling",
        fingerprint="1" * 64,
        model="new",
        serving_fingerprint="0" * 64,
        serving_model="m",
        total_passages=9,
        embedded_passages=7,
        truncated_passages=1,
        failed_passages=1,
        error="passage 3: refused",
    ),
    "space_overlap.json": SpaceOverlap(collection="books", queries=50, top_k=10, overlap=0.956),
}
