"""Similar documents: vector search from the vector of a stored document, or from a given one. It calls no embedder."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, Protocol

import msgspec
import numpy as np

from tandem_gateway.errors import DeadlineExceeded, FingerprintMismatch, InvalidRequest
from tandem_gateway.index.state import DocumentVector, waiting_document
from tandem_gateway.ports.position import StorePosition
from tandem_gateway.records.arrays import Vectors
from tandem_gateway.records.coverage import WHOLE
from tandem_gateway.records.documents import CollectionRecord
from tandem_gateway.records.embedders import QueryVector
from tandem_gateway.records.explanation import Stages
from tandem_gateway.records.search import AnsweredBy
from tandem_gateway.use_cases.commands import SimilarCommand
from tandem_gateway.use_cases.deadlines import late_search
from tandem_gateway.use_cases.dense_search import DenseSearch
from tandem_gateway.use_cases.freshness import in_fresh_state
from tandem_gateway.use_cases.result_pages import Answer, ResultPages
from tandem_gateway.use_cases.retrieved import Found
from tandem_gateway.use_cases.search_spans import traced_search
from tandem_gateway.use_cases.validation import RequestLimits, check_document_id, check_page
from tandem_runtime.trace import current_span

MAX_NUMBERS: Final = 8192
"""Maximum length of a given vector: the highest dimension of a model."""


class VectorSource(Protocol):
    """Knows the vectors of documents; the index thread implements it.

    Its methods include every change that was committed before the call, and raise DeadlineExceeded after ``timeout``
    seconds, and NotReady, StorageUnavailable or StorageCorrupt if the store cannot be read.
    """

    async def collection(self, name: str, *, timeout: float) -> CollectionRecord:
        """Return the record of a collection; raises NotFound if there is none."""
        ...

    async def document_vector(self, collection: str, doc_id: str, *, timeout: float) -> DocumentVector:
        """Return the vector of the first passage of a document's version that search finds.

        Raises:
            NotFound: there is no such collection or document.
            Conflict: the document has no such version yet.
        """
        ...


class SimilarSearch:
    """Answers searches for similar documents; see the module."""

    def __init__(
        self,
        dense: DenseSearch,
        source: VectorSource,
        pages: ResultPages,
        *,
        request_limits: RequestLimits,
        timeout: float,
        position: StorePosition | None = None,
        answered: Callable[[AnsweredBy], None] = lambda mode: None,
    ) -> None:
        """Make the use case.

        Args:
            dense: finds passages by their vectors.
            source: knows the vectors of documents.
            pages: reads the documents of passages.
            request_limits: limits of a request.
            timeout: maximum seconds per search.
            position: knows the store's position; None to ask the store before each search.
            answered: called for each answer, for metrics.
        """
        self._dense = dense
        self._source = source
        self._pages = pages
        self._request_limits = request_limits
        self._timeout = timeout
        self._answered = answered
        self._position = position

    async def answer(self, command: SimilarCommand, timeout: float | None = None) -> Answer:
        """Return the documents nearest to a document, without itself, or to a vector.

        Args:
            command: the search; this method validates it.
            timeout: seconds that the caller will wait. The configured timeout applies if it is shorter.

        Raises:
            InvalidRequest: a field is not valid; the error names the field and the limit.
            NotFound: the collection or the document does not exist.
            Conflict: the document waits for its embedding.
            Overloaded, StorageError, NotReady: the search cannot be answered now.
            DeadlineExceeded: the search was not answered in time.
        """
        span = current_span()
        if span is not None:
            return await traced_search(span, command.page, partial(self._checked_answer, command, timeout))
        return await self._checked_answer(command, timeout)

    async def _checked_answer(self, command: SimilarCommand, timeout: float | None) -> Answer:
        numbers = self._checked(command)
        seconds = self._timeout if timeout is None else min(timeout, self._timeout)
        page, doc_id = command.page, command.document_id

        async def retrieve(count: int, until: float, stages: Stages | None) -> Found:
            try:
                return await retrieve_once(count, until, stages)
            except FingerprintMismatch:
                # The collection has switched to another model since its vector was read.
                return await retrieve_once(count, until, stages)

        async def retrieve_once(count: int, until: float, stages: Stages | None) -> Found:
            among = await self._pages.among(page, until, stages)
            left = until - time.monotonic()
            own = None
            if doc_id is not None:
                start = await self._source.document_vector(page.collection, doc_id, timeout=left)
                if command.condition is not None:
                    await self._check(command, start.passage_id, until)
                vector, own, count = start.vector, start.passage_id, count + 1
            else:
                record = await self._source.collection(page.collection, timeout=left)
                if record.dim is None or record.model is None or record.fingerprint is None:
                    return Found([], "dense", False, WHOLE, among, [])  # the collection has no vector yet
                assert numbers is not None
                check_dimension(numbers, record)
                vector = QueryVector(numbers, record.model, record.fingerprint)
            started = time.monotonic()
            found = await self._dense.nearest(page.collection, vector, count, until - started, among)
            if stages is not None:
                stages.add("index", started, time.monotonic())
            others = [each for each in found.passages if each.passage_id != own]
            return Found(others, "dense", False, WHOLE, among, others)

        try:
            answer = await in_fresh_state(
                self._position,
                page,
                seconds,
                lambda left: self._pages.answer(page, left, left, retrieve, without=doc_id),
            )
        except DeadlineExceeded as error:
            raise late_search(seconds, error) from error
        self._answered("dense")
        return msgspec.structs.replace(answer, passages=self._dense.splits(page.collection))

    async def _check(self, command: SimilarCommand, passage_id: int, until: float) -> None:
        """Check that the version of the document that search finds matches the command's condition.

        Raises:
            Conflict: it does not.
        """
        itself = msgspec.structs.replace(command.page, filter=command.condition)
        matching = await self._pages.among(itself, until)
        assert matching is not None
        place = int(np.searchsorted(matching, np.uint64(passage_id)))
        if place == len(matching) or matching[place] != passage_id:
            raise waiting_document(command.document_id or "")

    def _checked(self, command: SimilarCommand) -> Vectors | None:
        """Check a search, and return its vector, if one is given."""
        if (command.document_id is None) == (command.vector is None):
            raise InvalidRequest(
                "document_id: either document_id or vector was expected, and not both", param="document_id"
            )
        check_page(command.page, self._request_limits)
        if command.document_id is not None:
            check_document_id(command.document_id, "document_id")
        return None if command.vector is None else unit_vector(command.vector)


def unit_vector(numbers: Sequence[float]) -> Vectors:
    """Return a vector in the direction of the numbers: ``(n,) float32`` of unit length.

    Raises:
        InvalidRequest: they are too many, or none, or all of them 0, or one is not finite.
    """
    if not 1 <= len(numbers) <= MAX_NUMBERS:
        raise InvalidRequest(
            f"vector: 1 to {MAX_NUMBERS} numbers were expected, not {len(numbers)}",
            param="vector",
            code="limit_exceeded",
        )
    given = np.array(numbers, np.float64)
    if not np.isfinite(given).all():
        raise InvalidRequest("vector: a number is not finite", param="vector")
    most = np.abs(given).max()
    if most == 0:
        raise InvalidRequest("vector: a vector with a number other than 0 was expected", param="vector")
    # The squares of very large or very small numbers are infinite or 0, so the vector is scaled first.
    given /= most
    made: Vectors = (given / np.linalg.norm(given)).astype(np.float32)
    return made


def check_dimension(vector: Vectors, record: CollectionRecord) -> None:
    """Check that a vector has the dimension of a collection.

    Raises:
        InvalidRequest: it has another one; the error names both.
    """
    if len(vector) != record.dim:
        raise InvalidRequest(
            f"vector: {record.dim} numbers were expected, which is the dimension of collection {record.name!r}, "
            f"not {len(vector)}",
            param="vector",
            code="limit_exceeded",
        )
