"""Tells where the words of a query are in the hits of a search."""

import asyncio
import time
from collections.abc import Iterator
from typing import Final

import msgspec

from tandem_gateway.analysis.matches import Wanted, matched_spans
from tandem_gateway.analysis.query_syntax import ParsedQuery
from tandem_gateway.errors import DeadlineExceeded
from tandem_gateway.records.search import Hit

MAX_HIGHLIGHTS: Final = 100
"""Maximum number of highlights of a text: the first ones."""
# A thread looks through more text, because it would block the event loop for more than a millisecond.
_AT_ONCE_CHARS: Final = 1000
# Another search may have its turn after so much text, and at least one hit.
_CHARS_IN_A_ROW: Final = 100_000


class Highlighter:
    """Highlights the hits of one search after another. One event loop owns it."""

    def __init__(self) -> None:
        # Several threads would compete with the event loop for the interpreter's lock.
        self._turn = asyncio.Lock()

    async def highlight(
        self, hits: list[Hit], asked: ParsedQuery, language: str, deadline: float, *, passages: bool
    ) -> None:
        """Set the highlights of each hit, in place: the list holds the lease on the hits' memory.

        Args:
            hits: of a search.
            asked: its query.
            language: of the collection; see ``analysis.terms.LANGUAGES``.
            deadline: in seconds of the monotonic clock.
            passages: whether to set those of the hits' passages, too.

        Raises:
            DeadlineExceeded: if the deadline has passed.
        """
        if len(asked.words) + sum(len(hit.text) for hit in hits) <= _AT_ONCE_CHARS:
            _highlight(hits, range(len(hits)), Wanted(asked, language), deadline, passages)
            return
        wanted: Wanted | None = None
        try:
            async with asyncio.timeout(deadline - time.monotonic()):
                for places in _pieces(hits):
                    async with self._turn:
                        if wanted is None:
                            wanted = await asyncio.to_thread(Wanted, asked, language)
                        await asyncio.to_thread(_highlight, hits, places, wanted, deadline, passages)
        except TimeoutError:
            raise _late() from None


def _pieces(hits: list[Hit]) -> Iterator[range]:
    start = chars = 0
    for place, hit in enumerate(hits, start=1):
        chars += len(hit.text)
        if chars >= _CHARS_IN_A_ROW or place == len(hits):
            yield range(start, place)
            start, chars = place, 0


def _highlight(hits: list[Hit], places: range, wanted: Wanted, deadline: float, passages: bool) -> None:
    def check() -> None:
        if time.monotonic() >= deadline:
            raise _late()

    for place in places:
        hit = hits[place]
        found = matched_spans(hit.text, wanted, MAX_HIGHLIGHTS, check)
        of_passage = None
        if passages and hit.passage is not None:
            text = hit.text[hit.passage.start : hit.passage.stop]
            of_passage = matched_spans(text, wanted, MAX_HIGHLIGHTS, check) if text != hit.text else found
        hits[place] = msgspec.structs.replace(hit, highlights=found, passage_highlights=of_passage)


def _late() -> DeadlineExceeded:
    return DeadlineExceeded("the words of the query were not highlighted in time; ask for fewer hits")
