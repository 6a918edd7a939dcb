"""The shape of a request's passages: its ``chunking``, checked against the model. Pure."""

from typing import Final

import msgspec

from tandem_contract.embed import MIN_PASSAGE_TOKENS, Chunking, TextFormat
from tandem_embedder.errors import InvalidChunking

MIN_OWN_TOKENS: Final = 8
"""Minimum number of tokens that a passage can have of its text."""


class PassageShape(msgspec.Struct, frozen=True):
    """How to split texts, in tokens of the text itself: without prompt and special tokens. Hashable."""

    capacity: int
    """Maximum length of a passage."""
    overlap: int
    """Maximum number of tokens that a passage repeats of the one before; below ``capacity``."""
    format: TextFormat


def shape_of(chunking: Chunking, max_seq_length: int, overhead: int) -> PassageShape:
    """Return the shape that a request asks for.

    Args:
        chunking: of the request.
        max_seq_length: the model's limit in tokens.
        overhead: number of prompt and special tokens that the embedder adds to each passage.

    Raises:
        InvalidChunking: if a field is out of its range, or the overhead leaves too few tokens for the text.
    """
    most = max_seq_length if chunking.max_tokens is None else chunking.max_tokens
    if chunking.max_tokens is not None and not MIN_PASSAGE_TOKENS <= most <= max_seq_length:
        raise InvalidChunking(
            f"chunking.max_tokens: {most} was sent, a number from {MIN_PASSAGE_TOKENS} to the model's limit of "
            f"{max_seq_length} tokens was expected",
            param="chunking.max_tokens",
        )
    overlap = most // 10 if chunking.overlap_tokens is None else chunking.overlap_tokens
    if not 0 <= overlap <= most // 2:
        raise InvalidChunking(
            f"chunking.overlap_tokens: {overlap} was sent, a number from 0 to {most // 2}, half of max_tokens, was "
            "expected",
            param="chunking.overlap_tokens",
        )
    capacity = most - overhead
    if capacity < MIN_OWN_TOKENS:
        raise InvalidChunking(
            f"chunking.max_tokens: {most} tokens are too few; the model adds {overhead} to each passage, and at least "
            f"{overhead + MIN_OWN_TOKENS} are needed",
            param="chunking.max_tokens",
        )
    # A long prompt can leave less than the overlap: half of the capacity then ensures progress.
    return PassageShape(capacity, min(overlap, capacity // 2), chunking.format)
