"""Builds the use cases from the settings."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from tandem_gateway.adapters.file_extraction import ExtractionLimits, ExtractionProcesses
from tandem_gateway.adapters.reranking.pool import RerankPool
from tandem_gateway.composition.reranking import build_reranker, build_stored_vectors, reranks_by_one_model
from tandem_gateway.lifecycle import OpenStore
from tandem_gateway.metrics.gateway import Metrics
from tandem_gateway.ports.embedder import Embedder
from tandem_gateway.records.embedders import ServedModel
from tandem_gateway.settings import Settings
from tandem_gateway.use_cases.batch_search import BatchSearch
from tandem_gateway.use_cases.coalescing import CoalescingLimits
from tandem_gateway.use_cases.collections import Collections, SizeSources
from tandem_gateway.use_cases.dense_search import DenseSearch, DenseSearchEvents
from tandem_gateway.use_cases.documents import Documents
from tandem_gateway.use_cases.embed_request import EmbedLimits, ModelRules
from tandem_gateway.use_cases.embed_texts import EmbedTexts
from tandem_gateway.use_cases.embedding_worker import EmbeddingEvents, EmbeddingWorker
from tandem_gateway.use_cases.facets import Facets
from tandem_gateway.use_cases.file_extraction import FileExtraction
from tandem_gateway.use_cases.hybrid_search import HybridSearch
from tandem_gateway.use_cases.ingest import Ingest
from tandem_gateway.use_cases.job_events import JobEvents
from tandem_gateway.use_cases.job_traces import JobTraces
from tandem_gateway.use_cases.job_waiting import JobWaiting
from tandem_gateway.use_cases.jobs import Jobs
from tandem_gateway.use_cases.query_embedder import QueryEmbedder, QueryEmbedderEvents
from tandem_gateway.use_cases.reembedding import Reembed
from tandem_gateway.use_cases.reembedding_worker import ReembeddingWorker
from tandem_gateway.use_cases.reranking import Rerank, RerankLimits
from tandem_gateway.use_cases.result_pages import ResultPages
from tandem_gateway.use_cases.scrubbing import Scrubber, ScrubEvents
from tandem_gateway.use_cases.search_pipeline import SearchPipeline, SearchPipelineEvents
from tandem_gateway.use_cases.search_reranking import SearchReranker, SearchRerankerEvents
from tandem_gateway.use_cases.similar_search import SimilarSearch
from tandem_gateway.use_cases.sources import Sources
from tandem_gateway.use_cases.use_cases import UseCases
from tandem_gateway.use_cases.validation import RequestLimits
from tandem_gateway.use_cases.work_spans import WorkSpans
from tandem_runtime.tracing import Tracer

# Seconds after which another gateway re-embeds, if the one that does it is gone.
_LEAD_SECONDS: Final = 30.0
# Seconds between two looks for documents that another gateway has stored.
_LOOK_SECONDS: Final = 1.0


def request_limits(settings: Settings) -> RequestLimits:
    """Return the limits of one request."""
    return RequestLimits(
        documents=settings.max_documents,
        text_chars=settings.max_text_chars,
        metadata_bytes=settings.max_metadata_bytes,
        query_chars=settings.max_query_chars,
        top_k=settings.max_top_k,
        files=settings.max_files,
        rerank_documents=settings.max_rerank_documents,
    )


@dataclass(frozen=True, slots=True)
class Hooks:
    """What else follows the work of the use cases."""

    spent: Callable[[str, int], None] = lambda job, tokens: None
    """Takes the id of a job and the number of tokens that a model read for it."""
    tracer: Tracer | None = None
    """Records the embedding of documents; None records nothing."""


_NO_HOOKS: Final = Hooks()


def build_use_cases(
    settings: Settings,
    storage: OpenStore,
    embedder: Embedder,
    metrics: Metrics,
    canary: Embedder | None = None,
    rerank_servers: RerankPool | None = None,
    served: Callable[[], ServedModel | None] = lambda: None,
    *,
    hooks: Hooks = _NO_HOOKS,
) -> UseCases:
    """Build the use cases.

    Args:
        settings: the gateway's settings.
        storage: the open data directory.
        embedder: embeds queries and documents, with the model that a call asks for.
        metrics: metrics to update.
        rerank_servers: the rerank servers; None to rerank by the embedder's vectors.
        canary: the embedders with which collections are re-embedded; None if there are none.
        served: returns the model that the embedders serve; None if it is not known.
        hooks: see ``Hooks``.
    """
    traces = None if hooks.tracer is None else JobTraces()
    spans = None if hooks.tracer is None or traces is None else WorkSpans(hooks.tracer, traces)
    limits = request_limits(settings)
    waiting = JobWaiting(storage.jobs.unfinished)
    reembedding = ReembeddingWorker(
        storage.reembeddings,
        embedder,
        batch=settings.bulk_batch,
        calls=settings.bulk_calls,
        timeout=settings.bulk_timeout,
        replicas=lambda: (canary or embedder).replicas,
        leads=partial(storage.shared.lead, "re-embedding", _LEAD_SECONDS) if storage.shared is not None else None,
    )

    def embedded(count: int) -> None:
        metrics.documents.embedded.inc(count)
        waiting.notify()
        reembedding.notify()

    embedding = EmbeddingWorker(
        storage.queue,
        embedder,
        batch=settings.bulk_batch,
        calls=settings.bulk_calls,
        timeout=settings.bulk_timeout,
        look_seconds=_LOOK_SECONDS if storage.is_shared else None,
        name=storage.shared.gateway_id if storage.shared is not None else None,
        events=EmbeddingEvents(
            embedded=embedded,
            truncated=metrics.documents.truncated.inc,
            unreadable=metrics.documents.unreadable.inc,
            failed=metrics.documents.failed.inc,
            retried=metrics.documents.backed_off,
            mismatched=metrics.documents.fingerprint_mismatches.inc,
            spent=hooks.spent,
            claimed=spans.begin if spans is not None else lambda batch, started: None,
        ),
    )
    query_embedder = QueryEmbedder(
        embedder,
        coalescing=CoalescingLimits(settings.query_batch, settings.query_calls),
        max_queued=settings.max_queued_queries,
        cached_vectors=settings.query_cache,
        events=QueryEmbedderEvents(
            called=metrics.searches.queries_per_call.observe,
            known=metrics.searches.vector_cache_hits.inc,
        ),
    )
    dense_search = DenseSearch(
        query_embedder,
        storage.index,
        request_limits=limits,
        timeout=settings.search_timeout,
        events=DenseSearchEvents(mismatched=metrics.documents.fingerprint_mismatches.inc),
    )
    reranker = build_reranker(settings, query_embedder, embedder, rerank_servers)
    search_reranker = SearchReranker(
        reranker,
        storage.index,
        timeout=settings.rerank_timeout,
        language=storage.index.language,
        stored=build_stored_vectors(reranker, storage.index, storage.index.fingerprint),
        events=SearchRerankerEvents(ended=metrics.reranking.ended),
    )
    pages = ResultPages(storage.index, storage.filters, search_reranker, storage.index.language)
    search_pipeline = SearchPipeline(
        dense_search,
        storage.lexical,
        HybridSearch(dense_search, storage.lexical, pages),
        request_limits=limits,
        timeout=settings.search_timeout,
        position=storage.position,
        events=SearchPipelineEvents(
            answered=metrics.searches.answered,
            degraded=metrics.searches.degraded.inc,
            truncated=metrics.searches.truncated_queries.inc,
            unreadable=metrics.searches.unreadable_queries.inc,
        ),
    )
    return UseCases(
        dense_search=dense_search,
        search_pipeline=search_pipeline,
        batch_search=BatchSearch(search_pipeline, query_embedder),
        similar_search=SimilarSearch(
            dense_search,
            storage.index,
            pages,
            request_limits=limits,
            timeout=settings.search_timeout,
            position=storage.position,
            answered=metrics.searches.answered,
        ),
        embed_texts=EmbedTexts(
            query_embedder,
            embedder,
            served,
            limits=EmbedLimits(
                text_chars=settings.max_text_chars,
                timeout=settings.embeddings_timeout,
                small_texts=max(1, settings.max_queued_queries // 2),
                call_texts=settings.bulk_batch,
                # A character has at most four bytes.
                call_chars=settings.bulk_batch_bytes // 4,
                calls=settings.bulk_calls,
                call_timeout=settings.bulk_timeout,
            ),
            rules=ModelRules(settings.model_aliases, settings.strict_model, settings.matryoshka),
        ),
        ingest=Ingest(
            storage.ingest,
            on_accepted=embedding.notify,
            on_skipped=metrics.documents.skipped.inc,
            traces=traces,
        ),
        jobs=Jobs(storage.jobs, waiting, on_changed=storage.index.notify, on_waiting=embedding.notify),
        files=FileExtraction(
            ExtractionProcesses(
                ExtractionLimits(
                    settings.file_seconds, settings.file_mib << 20, settings.max_file_chars, settings.file_processes
                )
            ),
            timeout=settings.files_timeout,
        ),
        job_events=JobEvents(storage.jobs.progress, embedding.blocked_reason),
        facets=Facets(storage.documents, timeout=settings.search_timeout, answer_bytes=settings.max_answer_bytes),
        collections=Collections(
            storage.catalogue,
            on_changed=storage.index.notify,
            model_tokens=lambda: embedder.model_tokens,
            filters=storage.filters,
            waiting=storage.documents.waiting,
            timeout=settings.search_timeout,
            sizes=SizeSources(storage.sizes, storage.index, storage.lexical),
            engines=storage.engines,
        ),
        sources=Sources(storage.documents, on_changed=storage.index.notify),
        documents=Documents(
            storage.documents,
            storage.catalogue,
            on_changed=storage.index.notify,
            answer_bytes=settings.max_answer_bytes,
            timeout=settings.write_timeout,
        ),
        reembed=Reembed(
            storage.reembeddings,
            storage.catalogue,
            canary,
            reembedding,
            storage.index,
            timeout=settings.write_timeout,
            on_changed=storage.index.notify,
        ),
        rerank=Rerank(
            reranker,
            RerankLimits(settings.max_rerank_documents, settings.max_text_chars, settings.max_query_chars),
            timeout=settings.rerank_timeout,
            any_model=not settings.strict_model and reranks_by_one_model(settings),
        ),
        embedding=embedding,
        reembedding=reembedding,
        scrubber=Scrubber(
            storage.scrubbing,
            seconds=settings.scrub_seconds,
            events=ScrubEvents(
                scrubbed=metrics.documents.scrubbed.inc,
                damaged=metrics.documents.damaged.set,
                completed=metrics.documents.scrub_completed.set_to_current_time,
            ),
        ),
    )
