"""Reranks documents that a client sends."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from tandem_gateway.errors import InvalidRequest
from tandem_gateway.ports.reranker import Reranker
from tandem_gateway.records.reranking import RerankScores
from tandem_gateway.use_cases.rerank_decisions import ranking
from tandem_runtime import trace


class RerankCommand(msgspec.Struct, frozen=True):
    """Documents to rerank by their relevance to a query."""

    query: str
    documents: Sequence[str]
    top_n: int | None = None
    """Maximum number of documents in the answer; None for all."""
    model: str | None = None
    """Name of the model that the client asks for; None for the one that serves."""
    raw_scores: bool = False
    """Whether the scores are the model's own numbers."""
    field: str = "documents"
    """Name of the request's field with the documents, for errors."""


class RerankAnswer(msgspec.Struct, frozen=True):
    """The best documents: their positions by descending score, and the scores of all documents."""

    order: Sequence[int]
    scores: RerankScores


@dataclass(frozen=True, slots=True)
class RerankLimits:
    """Maximum sizes of a request."""

    documents: int
    text_chars: int
    query_chars: int


class Rerank:
    """Answers requests to rerank."""

    def __init__(self, reranker: Reranker, limits: RerankLimits, *, timeout: float, any_model: bool = False) -> None:
        """Make the use case.

        Args:
            reranker: scores the documents.
            limits: see ``RerankLimits``.
            timeout: maximum seconds per request.
            any_model: whether the model that serves answers for every name of a model. The answer names it.
        """
        self._reranker = reranker
        self._limits = limits
        self._timeout = timeout
        self._any_model = any_model

    def check_count(self, count: int, field: str) -> None:
        """Check the number of documents, before the work for each of them.

        Args:
            count: number of documents.
            field: name of the request's field with the documents.

        Raises:
            InvalidRequest: there are none or too many.
        """
        check_count(count, field, self._limits.documents)

    async def answer(self, command: RerankCommand, timeout: float | None = None) -> RerankAnswer:
        """Return the best documents.

        Args:
            command: the request; this method validates it.
            timeout: seconds that the caller will wait. The configured timeout applies if it is shorter.

        Raises:
            InvalidRequest: a field is not valid; the error names the field and the limit.
            RerankerError, EmbedderError, Overloaded, DeadlineExceeded: as ``Reranker.rerank``.
        """
        check_rerank(command, self._limits)
        trace.admitted()
        seconds = self._timeout if timeout is None else min(timeout, self._timeout)
        model = None if self._any_model else command.model
        scores = await self._reranker.rerank(
            command.query, command.documents, timeout=seconds, model=model, raw=command.raw_scores
        )
        return RerankAnswer(ranking(scores.scores, command.top_n), scores)


def check_rerank(command: RerankCommand, limits: RerankLimits) -> None:
    """Check a request.

    Raises:
        InvalidRequest: a field is not valid; the error names the field and the limit.
    """
    _check_text(command.query, "query", limits.query_chars, "TANDEM_MAX_QUERY_CHARS")
    check_count(len(command.documents), command.field, limits.documents)
    if command.top_n is not None and command.top_n < 1:
        raise InvalidRequest(
            f"top_n: a number from 1 was expected, not {command.top_n}", param="top_n", code="limit_exceeded"
        )
    for place, text in enumerate(command.documents):
        _check_text(text, f"{command.field}[{place}]", limits.text_chars, "TANDEM_MAX_TEXT_CHARS")


def check_count(count: int, field: str, most: int) -> None:
    """Check the number of documents.

    Raises:
        InvalidRequest: there are none, or more than ``most``.
    """
    if not 1 <= count <= most:
        raise InvalidRequest(
            f"{field}: 1 to {most} documents were expected, not {count} (TANDEM_MAX_RERANK_DOCUMENTS)",
            param=field,
            code="limit_exceeded",
        )


def _check_text(text: str, param: str, most: int, setting: str) -> None:
    if len(text) > most:
        raise InvalidRequest(
            f"{param}: has {len(text)} characters, at most {most} are allowed ({setting})",
            param=param,
            code="limit_exceeded",
        )
    if not text or text.isspace():
        raise InvalidRequest(f"{param}: is empty or only white space", param=param)
    if "\0" in text:
        raise InvalidRequest(f"{param}: holds the character U+0000, which is not allowed in a text", param=param)
