"""Makes the results of the tools from the answers of the use cases, within a number of tokens."""

from collections.abc import Sequence
from typing import Any, Final, TypeVar

import msgspec

from tandem_contract.client_api import SearchWarning
from tandem_gateway.errors import InvalidRequest
from tandem_gateway.http.mcp.budget import SIGN, UNITS, Part, cost, divided, fitting, tokens
from tandem_gateway.http.mcp.citing import cite
from tandem_gateway.http.mcp.messages import (
    MAX_TOKENS,
    CollectionEntry,
    CollectionsResult,
    FetchedDocument,
    ManyResult,
    OneResult,
    Passage,
    SearchResult,
)
from tandem_gateway.records.documents import CollectionRecord, DocumentView
from tandem_gateway.records.search import Hit
from tandem_gateway.use_cases.result_pages import Answer

T = TypeVar("T", bound=msgspec.Struct)

_LEAST: Final = 50 * UNITS
"""A text is not cut to fewer units."""
_METADATA_SHARE: Final = 4
_COMMA: Final = SIGN
_SCORE_DIGITS: Final = 4
"""More digits take tokens and tell nothing."""

_encoder: Final = msgspec.json.Encoder()


def found_passages(answer: Answer, collection: str, max_tokens: int) -> bytes:
    """Return a ``SearchResult`` as JSON of at most ``max_tokens``."""
    passages = [_passage(hit, collection) for hit in answer.hits]
    texts = [hit.text for hit in answer.hits]

    def result(kept: list[Passage]) -> SearchResult:
        return SearchResult(
            kept,
            collection,
            answer.mode,
            MAX_TOKENS,
            len(passages) - len(kept),
            answer.degraded,
            answer.coverage.truncated,
            _warnings(answer),
        )

    ends = _ends(texts, passages, max_tokens, _cost(result([])), truncated=True)
    kept = [
        passage if end == passage.end else _change(passage, text=text[passage.start : end], end=end, truncated=True)
        for passage, text, end in zip(passages, texts, ends, strict=False)
    ]
    return _encoded(result(kept))


def one_document(view: DocumentView, collection: str, start: int, stop: int, max_tokens: int) -> bytes:
    """Return a ``OneResult`` as JSON of at most ``max_tokens``, with the text from ``start`` to ``stop`` or earlier."""
    document = _fetched(view, collection, start, stop, max_tokens * UNITS // _METADATA_SHARE)
    # The number of tokens is all that the result has besides the document.
    around = _cost(OneResult(**_fields(document), tokens=MAX_TOKENS)) - _cost(document)
    ends = _ends([view.text], [document], max_tokens, around, next_start=stop)
    if not ends:
        raise InvalidRequest(
            f"max_tokens: {max_tokens} are too few for what identifies this document; ask for more",
            param="max_tokens",
        )
    return _encoded(OneResult(**_fields(_shortened(document, view.text, ends[0])), tokens=MAX_TOKENS))


def many_documents(views: Sequence[DocumentView], missing: list[str], collection: str, max_tokens: int) -> bytes:
    """Return a ``ManyResult`` as JSON of at most ``max_tokens``.

    Raises:
        InvalidRequest: the ids alone may take more.
    """
    share = max_tokens * UNITS // (_METADATA_SHARE * max(1, len(views)))
    documents = [_fetched(view, collection, 0, len(view.text), share) for view in views]
    around = _cost(ManyResult([], missing, MAX_TOKENS, [view.doc_id for view in views]))
    if around > max_tokens * UNITS:
        raise InvalidRequest(
            f"max_tokens: the ids alone may take {tokens(around)} tokens; ask for fewer ids, or allow more than "
            f"{max_tokens} tokens",
            param="max_tokens",
        )
    texts = [view.text for view in views]
    ends = _ends(texts, documents, max_tokens, around, next_start=max(map(len, texts), default=0))
    kept = [_shortened(*each) for each in zip(documents, texts, ends, strict=False)]
    return _encoded(ManyResult(kept, missing, MAX_TOKENS, [view.doc_id for view in views[len(kept) :]]))


def listed_collections(records: Sequence[CollectionRecord], max_tokens: int) -> bytes:
    """Return a ``CollectionsResult`` as JSON of at most ``max_tokens``."""
    entries = [CollectionEntry(record.name, record.live, record.pending) for record in records]
    around = _cost(CollectionsResult([], MAX_TOKENS, len(entries)))
    kept = fitting([_cost(entry) + _COMMA for entry in entries], max_tokens * UNITS - around)
    return _encoded(CollectionsResult(entries[:kept], MAX_TOKENS, len(entries) - kept))


def _passage(hit: Hit, collection: str) -> Passage:
    found = hit.passage
    index, start, stop = (0, 0, len(hit.text)) if found is None else (found.index, found.start, found.stop)
    cited = cite(collection, hit.doc_id, hit.metadata)
    return Passage(
        hit.doc_id,
        cited.title,
        cited.url,
        hit.text[start:stop],
        index,
        start,
        stop,
        round(hit.score, _SCORE_DIGITS),
        cited.source or msgspec.UNSET,
    )


def _warnings(answer: Answer) -> list[SearchWarning]:
    told: list[tuple[bool, SearchWarning]] = [
        (answer.coverage.unknown > 0, "unknown_tokens"),
        (answer.only_exclusions, "only_exclusions"),
    ]
    return [warning for holds, warning in told if holds]


def _fetched(view: DocumentView, collection: str, start: int, stop: int, metadata_units: int) -> FetchedDocument:
    cited = cite(collection, view.doc_id, view.metadata)
    fits = cost(view.metadata.encode()) <= metadata_units
    return FetchedDocument(
        view.doc_id,
        cited.title,
        cited.url,
        view.text[start:stop],
        start,
        stop,
        len(view.text),
        cited.source or msgspec.UNSET,
        metadata=msgspec.Raw(view.metadata.encode()) if fits else msgspec.UNSET,
        metadata_left_out=msgspec.UNSET if fits else True,
    )


def _shortened(document: FetchedDocument, text: str, end: int) -> FetchedDocument:
    if end == document.end:
        return document
    return _change(document, text=text[document.start : end], end=end, next_start=end)


def _ends(
    texts: Sequence[str],
    entries: Sequence[Passage | FetchedDocument],
    max_tokens: int,
    around: int,
    **if_cut: Any,
) -> list[int]:
    """Return where the texts of the first entries end; ``if_cut`` are the fields that a cut entry has besides."""
    parts = [
        Part(text, entry.start, entry.end, _cost(_change(entry, text="", **if_cut)) + _COMMA)
        for text, entry in zip(texts, entries, strict=True)
    ]
    return divided(parts, max_tokens * UNITS - around, _LEAST, _cost_of_text)


def _cost_of_text(text: str) -> int:
    return cost(_encoder.encode(text)) - 2 * SIGN


def _cost(value: msgspec.Struct) -> int:
    return cost(_encoder.encode(value))


def _encoded(result: SearchResult | OneResult | ManyResult | CollectionsResult) -> bytes:
    """Return a result as JSON, with its tokens; a smaller number has no more digits."""
    return _encoder.encode(_change(result, tokens=tokens(_cost(result))))


def _change(value: T, **changes: Any) -> T:
    return msgspec.structs.replace(value, **changes)


def _fields(document: FetchedDocument) -> dict[str, Any]:
    return {name: getattr(document, name) for name in document.__struct_fields__}
