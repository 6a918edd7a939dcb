"""The reply of ``POST /embed`` in both syntaxes."""

from typing import Final, Protocol

import msgspec
import numpy as np

from tandem_contract.embed import EmbedReply, PackedEmbedReply
from tandem_embedder.api.negotiation import Syntax
from tandem_embedder.embedded import Embedded
from tandem_embedder.ports import Vectors
from tandem_runtime.http import MSGPACK, Reply

_FLOAT_CHARS: Final = 22  # a float32 as the shortest decimal of a float64, with its comma
_LISTS_BYTES: Final = 256  # a passage with its numbers, and its place in each list


class _Sliced(EmbedReply, frozen=True):
    """The reply in JSON, with each row encoded."""

    embeddings: list[msgspec.Raw]  # type: ignore[assignment]


class ServedModel(Protocol):
    """The model that a reply names."""

    model: str
    fingerprint: str
    dim: int


class EmbedReplies:
    """Encodes replies. Thread-safe."""

    def __init__(self, model: ServedModel) -> None:
        self._model = model
        self._json = msgspec.json.Encoder()
        self._msgpack = msgspec.msgpack.Encoder()

    def row_bytes(self, syntax: Syntax) -> int:
        """Return the maximum memory of one row in bytes: its vector, and its part of the reply."""
        dim = self._model.dim
        # In JSON a row exists twice: encoded alone, and in the reply.
        return _LISTS_BYTES + dim * (4 + 4 if syntax is Syntax.MSGPACK else 4 + 2 * _FLOAT_CHARS)

    def write(self, embedded: Embedded, syntax: Syntax) -> Reply:
        """Return the reply for texts."""
        model = self._model
        if syntax is Syntax.MSGPACK:
            return self._packed(embedded, self._little_endian(embedded).tobytes())
        reply = EmbedReply(
            embeddings=embedded.vectors.tolist(),
            dim=model.dim,
            model=model.model,
            fingerprint=model.fingerprint,
            tokens=embedded.tokens,
            truncated=embedded.truncated,
            unknown=embedded.unknown,
        )
        return Reply(200, self._json.encode(reply))

    def write_passages(self, embedded: Embedded, syntax: Syntax) -> Reply:
        """Return the reply for passages. It can have megabytes: call it in a thread.

        It makes no second copy of the vectors in MessagePack. In JSON it encodes row by row, because a call into
        msgspec or numpy holds the interpreter's lock, and the event loop would wait for all rows.
        """
        model = self._model
        if syntax is Syntax.MSGPACK:
            return self._packed(embedded, self._little_endian(embedded).data.cast("B"))
        reply = _Sliced(
            embeddings=[msgspec.Raw(self._json.encode(row.tolist())) for row in embedded.vectors],
            dim=model.dim,
            model=model.model,
            fingerprint=model.fingerprint,
            tokens=embedded.tokens,
            truncated=embedded.truncated,
            unknown=embedded.unknown,
            passages=embedded.passages,
        )
        return Reply(200, self._json.encode(reply))

    def _packed(self, embedded: Embedded, vectors: bytes | memoryview) -> Reply:
        model = self._model
        packed = PackedEmbedReply(
            embeddings=vectors,  # type: ignore[arg-type] # msgspec encodes a view as it encodes bytes
            dim=model.dim,
            model=model.model,
            fingerprint=model.fingerprint,
            tokens=embedded.tokens,
            truncated=embedded.truncated,
            unknown=embedded.unknown,
            passages=embedded.passages,
        )
        return Reply(200, self._msgpack.encode(packed), MSGPACK)

    @staticmethod
    def _little_endian(embedded: Embedded) -> Vectors:
        # astype copies only on a big-endian machine, and ascontiguousarray only rows of a larger array.
        return np.ascontiguousarray(embedded.vectors.astype("<f4", copy=False))
