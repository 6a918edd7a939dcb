"""The three formats of a request for embeddings: those of Tandem, Text Embeddings Inference and OpenAI."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from tandem_contract.embed import PATH, EmbedRequest, Kind

Vectors = npt.NDArray[np.float64]
"""``(n, dim)``."""


class WrongAnswer(Exception):
    """The answer has no embedding of each text; the message is short, since it is the key of an error count."""


@dataclass(frozen=True)
class Shape:
    """The format of requests and answers of a server."""

    name: str
    path: str
    encode: Callable[[Sequence[str], Kind, str], bytes]
    """Texts, their kind and the model's name → body of a request."""
    rows: Callable[[bytes], list[list[float]]]
    """Body of an answer → its vectors, in the order of the texts."""

    def vectors(self, body: bytes, count: int, dim: int | None = None) -> Vectors:
        """Return the vectors of an answer.

        Args:
            body: body of the answer.
            count: number of texts in the request.
            dim: length of each vector; None takes that of the first.

        Raises:
            WrongAnswer: if the answer has another shape, another number of vectors, or a vector of another length.
        """
        try:
            # The decoder refuses NaN, infinity and numbers beyond float64, so every vector is finite.
            rows = self.rows(body)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise WrongAnswer(f"not in the shape {self.name}") from error
        if len(rows) != count:
            raise WrongAnswer("another number of vectors than of texts")
        expected = dim if dim is not None else len(rows[0])
        if expected == 0 or any(len(row) != expected for row in rows):
            raise WrongAnswer("vectors of different dimensions")
        return np.asarray(rows, np.float64)


class _TandemAnswer(msgspec.Struct):
    embeddings: list[list[float]]


class _OpenAiEntry(msgspec.Struct):
    index: int
    embedding: list[float]


class _OpenAiAnswer(msgspec.Struct):
    data: list[_OpenAiEntry]


_tandem = msgspec.json.Decoder(_TandemAnswer)
_tei = msgspec.json.Decoder(list[list[float]])
_openai = msgspec.json.Decoder(_OpenAiAnswer)


def _tandem_body(texts: Sequence[str], kind: Kind, model: str) -> bytes:
    return msgspec.json.encode(EmbedRequest(list(texts), kind))


def _tei_body(texts: Sequence[str], kind: Kind, model: str) -> bytes:
    # Without "truncate", that server refuses a text that is too long for the model; Tandem truncates it.
    return msgspec.json.encode({"inputs": list(texts), "truncate": True})


def _openai_body(texts: Sequence[str], kind: Kind, model: str) -> bytes:
    body: dict[str, Any] = {"input": list(texts), "model": model}
    return msgspec.json.encode(body)


def _openai_rows(body: bytes) -> list[list[float]]:
    return [entry.embedding for entry in sorted(_openai.decode(body).data, key=lambda entry: entry.index)]


SHAPES: Final[dict[str, Shape]] = {
    shape.name: shape
    for shape in (
        Shape("tandem", PATH, _tandem_body, lambda body: _tandem.decode(body).embeddings),
        Shape("tei", "/embed", _tei_body, _tei.decode),
        Shape("openai", "/v1/embeddings", _openai_body, _openai_rows),
    )
}
