"""Translates between the contract's messages and the gateway's own types: requests to commands, records to replies."""

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import msgspec

from tandem_contract.client_api import (
    ChunkingSetting,
    Collection,
    CollectionList,
    DocumentFailure,
    FilesJob,
    FusionInput,
    FusionMethod,
    Health,
    IngestedFile,
    Job,
    SearchBatch,
    SearchRequest,
    SimilarRequest,
    SkippedDocument,
    StoredDocument,
)
from tandem_contract.decoding import cut
from tandem_gateway import __version__
from tandem_gateway.errors import InvalidRequest
from tandem_gateway.http.clock import rfc3339
from tandem_gateway.http.filters import read_filter
from tandem_gateway.records.documents import CollectionRecord, DocumentView, JobRecord
from tandem_gateway.records.health import GatewayHealth
from tandem_gateway.records.job_documents import SkippedDocument as Skipped
from tandem_gateway.records.sizes import CollectionSizes
from tandem_gateway.use_cases.batch_search import check_searches, of_search
from tandem_gateway.use_cases.commands import NO_FIELDS, RerankChoice, SearchCommand, SimilarCommand
from tandem_gateway.use_cases.fusion import DEFAULT_FUSION, DEFAULT_K, FUSING_MODES, MAX_K, MAX_WEIGHT, Fusion
from tandem_gateway.use_cases.jobs import documents_per_second, seconds_left

_ALIKE: Final = Fusion(dense=0.5, lexical=0.5)


MAX_SKIPPED_TOLD: Final = 100
"""Maximum number of skipped documents in the reply to an ingest; the job lists all of them."""
_MESSAGE_CHARS: Final = 500
_NULL: Final = msgspec.Raw(b"null")


class ReceivedSearch(SearchRequest, frozen=True, forbid_unknown_fields=True):
    """``SearchRequest`` with its filter still as JSON, so that numbers keep all digits."""

    # Not a plain default: Litestar looks for defaults in a set, and this one has no hash.
    filter: msgspec.Raw = msgspec.field(default_factory=lambda: _NULL)  # type: ignore[assignment]


class ReceivedSearchBatch(SearchBatch, frozen=True, forbid_unknown_fields=True):
    """``SearchBatch`` of such searches."""

    searches: list[ReceivedSearch]  # type: ignore[assignment]


class ReceivedSimilar(SimilarRequest, frozen=True, forbid_unknown_fields=True):
    """``SimilarRequest`` with its filter still as JSON."""

    filter: msgspec.Raw = msgspec.field(default_factory=lambda: _NULL)  # type: ignore[assignment]


def search_command(request: ReceivedSearch) -> SearchCommand:
    """Return the command of a search; the use case validates the rest.

    Raises:
        InvalidRequest: ``fusion`` or ``filter`` is not valid.
    """
    given = bytes(request.filter)
    fusion = DEFAULT_FUSION
    if request.fusion is not None:
        if request.mode not in FUSING_MODES:
            raise InvalidRequest(f"fusion: mode {request.mode!r} does not fuse; hybrid and auto do", param="fusion")
        fusion = _fusion(request.fusion)
    return SearchCommand(
        request.query,
        request.top_k,
        request.collection,
        request.mode,
        fusion,
        request.offset,
        request.min_score,
        None if given == b"null" else read_filter(given),
        request.highlight,
        frozenset(request.include) if request.include else NO_FIELDS,
        frozenset(request.exclude) if request.exclude else NO_FIELDS,
        request.explain,
        request.diversity,
        request.group_by,
        None if request.rerank is None else RerankChoice(request.rerank.top_n, request.rerank.model),
        request.consistency,
    )


def similar_command(request: ReceivedSimilar) -> SimilarCommand:
    """Return the command of a search for similar documents; the use case validates the rest.

    Raises:
        InvalidRequest: ``filter`` is not valid.
    """
    given = bytes(request.filter)
    page = SearchCommand(
        "",
        request.top_k,
        request.collection,
        "dense",
        offset=request.offset,
        min_score=request.min_score,
        filter=None if given == b"null" else read_filter(given),
        include=frozenset(request.include),
        exclude=frozenset(request.exclude),
        explain=request.explain,
        diversity=request.diversity,
        consistency=request.consistency,
        group_by=request.group_by,
    )
    doc_id = None if request.document_id is None else str(request.document_id)
    return SimilarCommand(doc_id, request.vector, page)


def search_commands(batch: ReceivedSearchBatch) -> list[SearchCommand]:
    """Return the commands of a batch of searches.

    Raises:
        InvalidRequest: there are too many, or ``fusion`` or ``filter`` of one is not valid; the error names the search.
    """
    check_searches(len(batch.searches))  # before the work for each of them
    commands = []
    for place, request in enumerate(batch.searches):
        try:
            commands.append(search_command(request))
        except InvalidRequest as error:
            raise of_search(error, place) from None
    return commands


def _fusion(asked: FusionMethod | FusionInput) -> Fusion:
    """Return the fusion that a client asks for.

    Raises:
        InvalidRequest: a number is out of its range, or does not belong to the method.
    """
    if isinstance(asked, str):
        asked = FusionInput(asked)
    if asked.k is not msgspec.UNSET and asked.method != "rrf":
        raise InvalidRequest(f"fusion.k: only the method 'rrf' has it, not {asked.method!r}", param="fusion.k")
    k = DEFAULT_K if asked.k is msgspec.UNSET else asked.k
    if not 1 <= k <= MAX_K:
        raise InvalidRequest(
            f"fusion.k: a whole number from 1 to {MAX_K} was expected, not {k}",
            param="fusion.k",
            code="limit_exceeded",
        )
    if asked.weights is None:
        default = DEFAULT_FUSION if asked.method == DEFAULT_FUSION.method else _ALIKE
        return replace(default, method=asked.method, k=k)
    weights = {"dense": asked.weights.dense, "lexical": asked.weights.lexical}
    for name, weight in weights.items():
        if not 0 <= weight <= MAX_WEIGHT:
            raise InvalidRequest(
                f"fusion.weights.{name}: a number from 0 to {MAX_WEIGHT} was expected, not {weight:g}",
                param=f"fusion.weights.{name}",
                code="limit_exceeded",
            )
    if not any(weights.values()):
        raise InvalidRequest("fusion.weights: one weight above 0 was expected", param="fusion.weights")
    return Fusion(asked.method, weights["dense"], weights["lexical"], k)


def job_reply(
    record: JobRecord,
    blocked_reason: str | None,
    ids: list[str] | None = None,
    skipped: Sequence[Skipped] | None = None,
) -> Job:
    """Return a job as clients see it.

    Args:
        record: the job.
        blocked_reason: why its documents are not being embedded; None if nothing blocks them.
        ids: ids of its documents, for the reply to the ingest that began the job.
        skipped: the documents that were left out, for the reply to an ingest that may do that.
    """
    error: str | None = None
    if record.state == "failed":
        error = f"{record.failed} of {record.total} documents could not be embedded"
    elif record.finished_at is None and blocked_reason:
        error = f"waiting: {blocked_reason}"
    now = time.time()
    return Job(
        job_id=record.job_id,
        status=record.state,
        total_documents=record.total,
        processed_documents=record.processed,
        error=error,
        started_at=rfc3339(record.started_at),
        finished_at=rfc3339(record.finished_at),
        created_at=rfc3339(record.created_at) or "",
        collection=record.collection,
        unchanged_documents=record.unchanged,
        failed_documents=record.failed,
        truncated_documents=record.truncated,
        unreadable_documents=record.unreadable,
        failures=[DocumentFailure(doc_id, reason) for doc_id, reason in record.failures],
        document_ids=ids,
        cancelled_documents=record.cancelled,
        documents_per_second=_rounded(documents_per_second(record, now)),
        seconds_left=None if error else _rounded(seconds_left(record, now)),
        skipped_documents=record.skipped,
        retried_at=rfc3339(record.retried_at),
        skipped=None
        if skipped is None
        else [
            SkippedDocument(each.index, each.doc_id, each.param, cut(each.message, _MESSAGE_CHARS))
            for each in skipped[:MAX_SKIPPED_TOLD]
        ],
    )


def files_job_reply(record: JobRecord, ids: list[str], files: list[IngestedFile]) -> FilesJob:
    """Return the reply to an ingest of files."""
    return FilesJob(**msgspec.structs.asdict(job_reply(record, None, ids)), files=files)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


def collection_list(records: list[CollectionRecord]) -> CollectionList:
    """Return the collections as clients see them."""
    return CollectionList([collection_reply(record) for record in records])


def collection_reply(record: CollectionRecord, sizes: CollectionSizes | None = None) -> Collection:
    """Return a collection as clients see it, with its sizes if they are given."""
    chunking = record.chunking
    return Collection(
        record.name,
        record.live,
        record.pending,
        record.fingerprint,
        record.model,
        record.dim,
        ChunkingSetting(chunking.max_tokens, chunking.overlap_tokens) if chunking is not None else None,
        record.language,
        **(dataclasses.asdict(sizes) if sizes is not None else {}),
    )


def stored_document(view: DocumentView, collection: str) -> StoredDocument:
    """Return a document as clients see it."""
    return StoredDocument(
        view.doc_id,
        view.text,
        msgspec.Raw(view.metadata.encode()),
        collection,
        view.embedded,
        view.coverage.truncated if view.coverage else None,
        view.coverage.unknown if view.coverage else None,
        msgspec.UNSET if view.source is None else view.source,
        msgspec.UNSET if view.source_hash is None else view.source_hash,
    )


def health_reply(health: GatewayHealth) -> Health:
    """Return the health as clients see it, with the gateway's version."""
    return Health(
        status=health.status,
        model_loaded=health.embedder_up,
        document_count=health.documents,
        pending_documents=health.pending,
        model=health.model,
        fingerprint=health.fingerprint,
        version=__version__,
        detail=health.detail,
    )
