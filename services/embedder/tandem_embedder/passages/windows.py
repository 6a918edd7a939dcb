"""Split a long text window by window. Pure: the splitter is an argument.

The library's time grows with the square of some texts: 100,000 CJK characters take 38 seconds in one call. A window has
a fixed number of characters, so the time of one call is bounded and the whole grows linearly. The last piece of a
window may be cut short by its end. It is dropped, and the next window starts where that piece started.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from tandem_embedder.ports import Span

CHARS_PER_TOKEN: Final = 16
"""Characters of a window for each token of a passage: about four passages of English prose."""
MIN_WINDOW_CHARS: Final = 1024

_NOT_BLANK: Final = re.compile(r"\S")

SplitWindow = Callable[[str], Sequence[Span]]


def window_chars(capacity: int) -> int:
    """Return the size of a window for passages of at most ``capacity`` tokens."""
    return max(CHARS_PER_TOKEN * capacity, MIN_WINDOW_CHARS)


def windows(text: str, split: SplitWindow, size: int) -> Iterator[list[Span]]:
    """Yield the passages that each window adds. A window neither starts nor ends with white space.

    The library's Markdown parser takes half a second for a window of empty lines.

    Starts and ends of all passages grow strictly, and every character that is not white space is in a passage.

    Args:
        text: the whole text.
        split: returns the pieces of a window, in order, with offsets in the window.
        size: maximum number of characters in a window.
    """
    position, before = 0, Span(-1, 0)
    while (found := _NOT_BLANK.search(text, position)) is not None:
        position = found.start()
        end = _window_end(text, position, size)
        pieces = [Span(position + start, position + stop) for start, stop in split(text[position:end].rstrip())]
        # One piece fills the window, or the last piece starts the window: accept it, to make progress.
        cut = end < len(text) and len(pieces) > 1 and pieces[-1].start > position
        position = pieces.pop().start if cut else end
        passages = []
        for piece in pieces:
            fresh = _after(text, before, piece)
            if fresh is not None:
                passages.append(fresh)
                before = fresh
        if not cut:  # nothing of this window comes again
            rest = _stripped(text, before.end, end)
            if rest is not None:
                passages.append(rest)
                before = rest
        yield passages
    # A splitter whose last pieces are empty has given nothing for the end of the text.
    if (rest := _stripped(text, before.end, len(text))) is not None:
        yield [rest]


def _window_end(text: str, start: int, size: int) -> int:
    """Return the end of a window: after white space in its last quarter, or else after ``size`` characters."""
    end = start + size
    if end >= len(text):
        return len(text)
    return next((at for at in range(end, end - size // 4, -1) if text[at - 1].isspace()), end)


def _after(text: str, before: Span, piece: Span) -> Span | None:
    """Return the piece so that it follows ``before``: without a gap but white space, and with a later start and end.

    The library gives such pieces, except that an overlap can make no progress. None if the piece adds nothing.
    """
    if piece.end <= before.end or piece.end <= piece.start:
        return None
    if piece.start <= before.start or not _is_blank(text, before.end, piece.start):
        return _stripped(text, before.end, piece.end)
    return piece


def _is_blank(text: str, start: int, end: int) -> bool:
    return start >= end or text[start:end].isspace()


def _stripped(text: str, start: int, end: int) -> Span | None:
    """Return ``text[start:end]`` without the white space around it; None if nothing is left."""
    part = text[start:end]
    left = len(part) - len(part.lstrip())
    return None if left == len(part) else Span(start + left, start + len(part.rstrip()))
