"""Splitting and tokenising the texts of one request, in slices of work for a tokenizer thread."""

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from tandem_contract.embed import Passage
from tandem_embedder.batching.tokenize_stage import slices
from tandem_embedder.passages.shape import PassageShape
from tandem_embedder.passages.windows import window_chars, windows
from tandem_embedder.ports import Span, Splitter, TokenizedText, Tokenizer

SLICE_CHARS: Final = 4_000
"""Maximum number of characters of short texts in a slice; a slice of a longer text is one window."""


class PassageRow(msgspec.Struct, frozen=True):
    """A passage and its tokens."""

    passage: Passage
    tokenized: TokenizedText


class Slice(msgspec.Struct, frozen=True):
    """Passages of one slice of work, and the number of characters of the texts that it finished."""

    rows: list[PassageRow]
    chars: int


class PassageSlices:
    """The passages of a request, by text and by position in it.

    A text that fits in one passage needs no splitter. Most texts do, and tokenising is much faster than splitting.

    Args:
        texts: of the request; each has a character that is not white space.
        prompt: precedes each passage when it is tokenised.
        shape: of the passages.
        max_tokens: maximum length of a passage, with prompt and special tokens.
        splitter: splits the windows of long texts.
    """

    def __init__(
        self, texts: Sequence[str], prompt: str, shape: PassageShape, *, max_tokens: int, splitter: Splitter
    ) -> None:
        self._texts = texts
        self._prompt = prompt
        self._shape = shape
        self._max_tokens = max_tokens
        self._splitter = splitter
        self._window = window_chars(shape.capacity)

    def run(self, tokenizer: Tokenizer) -> Iterator[Slice]:
        """Yield the slices. One thread at a time may take the next one."""
        first = 0
        for part in slices(self._texts, SLICE_CHARS):
            numbers = range(first, first + len(part))
            first = numbers.stop
            if len(part[0]) > max(self._window, SLICE_CHARS):  # a text of this length is alone in its part
                yield from self._split(part[0], numbers[0], tokenizer)
                continue
            rows: list[PassageRow] = []
            whole = self._tokenized(part, numbers, [_whole(text) for text in part], tokenizer)
            for text, row in zip(part, whole, strict=True):
                if len(row.tokenized.ids) <= self._max_tokens and not row.tokenized.truncated:
                    rows.append(row)
                else:
                    for slice in self._split(text, row.passage.text, tokenizer):
                        rows += slice.rows
            yield Slice(rows, sum(map(len, part)))

    def _split(self, text: str, number: int, tokenizer: Tokenizer) -> Iterator[Slice]:
        finished = 0
        for spans in windows(text, lambda window: self._splitter.split(window, self._shape), self._window):
            count = len(spans)
            rows = self._tokenized([text] * count, [number] * count, spans, tokenizer)
            reached = spans[-1].end if spans else finished
            yield Slice(rows, reached - finished)
            finished = reached

    def _tokenized(
        self, texts: Sequence[str], numbers: Sequence[int], spans: Sequence[Span], tokenizer: Tokenizer
    ) -> list[PassageRow]:
        """Tokenise ``texts[i][spans[i]]``; ``numbers`` are the texts' indices in the request."""
        parts = [self._prompt + text[start:end] for text, (start, end) in zip(texts, spans, strict=True)]
        return [
            PassageRow(Passage(number, span.start, span.end, len(tokenized.ids)), tokenized)
            for number, span, tokenized in zip(numbers, spans, tokenizer.tokenize(parts), strict=True)
        ]


def _whole(text: str) -> Span:
    """Return the text without the white space around it."""
    return Span(len(text) - len(text.lstrip()), len(text.rstrip()))
