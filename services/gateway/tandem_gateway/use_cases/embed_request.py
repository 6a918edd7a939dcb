"""A request for the vectors of texts, its limits and its result."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np

from tandem_contract.embed import Kind
from tandem_gateway.errors import InvalidRequest
from tandem_gateway.records.arrays import Vectors

MAX_TEXTS: Final = 2048
"""Maximum number of texts in a request."""


class EmbedCommand(msgspec.Struct, frozen=True):
    """Texts to embed."""

    texts: Sequence[str]
    param: str
    """Field of the request that has them, for errors."""
    single: bool = False
    """Whether the field is the one text itself, not a list."""
    model: str | None = None
    """Name of the model that the client asks for."""
    kind: Kind = "query"
    cut: bool = True
    """Whether a text that is longer than the model's limit is cut; otherwise the request is refused."""
    dimensions: int | None = None
    """Number of dimensions wanted; None for all."""


class EmbeddedTexts(msgspec.Struct, frozen=True):
    """One vector per text, in order."""

    blocks: Sequence[Vectors]
    """Arrays ``(rows, dim) float32`` of unit vectors, one after another."""
    model: str
    tokens: int
    """Number of tokens that the model read; 0 if the embedder did not report it."""
    truncated: int
    """Number of texts that were cut at the model's limit."""

    @property
    def dim(self) -> int:
        """Length of each vector."""
        return int(self.blocks[0].shape[1])

    @property
    def count(self) -> int:
        """Number of vectors."""
        return sum(map(len, self.blocks))

    def rows(self) -> Iterator[Vectors]:
        """Yield each vector."""
        for block in self.blocks:
            yield from block


@dataclass(frozen=True, slots=True)
class EmbedLimits:
    """Limits of requests.

    Attributes:
        text_chars: maximum length of a text, in characters.
        timeout: maximum seconds per request.
        small_texts: maximum number of texts of small requests that wait or are embedded together with queries.
        call_texts: maximum number of texts in one call of a large request.
        call_chars: maximum number of characters in such a call.
        calls: maximum number of such calls at a time, per replica.
        call_timeout: maximum seconds of a call.
    """

    text_chars: int
    timeout: float
    small_texts: int
    call_texts: int
    call_chars: int
    calls: int
    call_timeout: float


@dataclass(frozen=True, slots=True)
class ModelRules:
    """What clients may ask of the model.

    Attributes:
        aliases: other names of the model.
        strict: whether any other name is refused.
        matryoshka: whether the first numbers of a vector are a vector of their own, so that ``dimensions`` may cut it.
    """

    aliases: Sequence[str] = ()
    strict: bool = False
    matryoshka: bool = False


def cut_to(block: Vectors, dim: int) -> Vectors:
    """Return the first ``dim`` numbers of each row, scaled to unit length; a row without any length stays."""
    part = block[:, :dim]
    lengths = np.linalg.norm(part, axis=1, keepdims=True)
    lengths[lengths == 0] = 1
    return np.ascontiguousarray(part / lengths, dtype=np.float32)


def param_of(command: EmbedCommand, place: int) -> str:
    """Return the path of a text in the request."""
    return command.param if command.single else f"{command.param}[{place}]"


def check_texts(command: EmbedCommand, most_chars: int) -> None:
    """Check the texts.

    Raises:
        InvalidRequest: there are none or too many, or one is blank, too long or has a NUL.
    """
    count = len(command.texts)
    if not 1 <= count <= MAX_TEXTS:
        raise InvalidRequest(
            f"{command.param}: 1 to {MAX_TEXTS} texts were expected, not {count}",
            param=command.param,
            code="limit_exceeded" if count else "invalid_field",
        )
    for place, text in enumerate(command.texts):
        if not text or len(text) > most_chars or text.isspace() or "\0" in text:
            param = param_of(command, place)
            if len(text) > most_chars:
                raise InvalidRequest(
                    f"{param}: has {len(text)} characters, at most {most_chars} are allowed (TANDEM_MAX_TEXT_CHARS)",
                    param=param,
                    code="limit_exceeded",
                )
            why = "holds the character U+0000" if "\0" in text else "is empty or only white space"
            raise InvalidRequest(f"{param}: {why}", param=param)
