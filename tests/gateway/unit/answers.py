"""What an embedder answers."""

import msgspec
import numpy as np

from tandem_contract.embed import PackedEmbedReply
from tests.support.fakes import DIM, FINGERPRINT, MODEL, vectors_of

TEXTS = ["one", "two"]


def packed(vectors: np.ndarray | None = None, **fields: object) -> bytes:
    vectors = vectors_of(TEXTS) if vectors is None else vectors
    reply = PackedEmbedReply(
        vectors.astype("<f4").tobytes(), DIM, MODEL, FINGERPRINT, [3, 3], [False, False], [0.0, 0.0]
    )
    return msgspec.msgpack.encode(msgspec.structs.replace(reply, **fields))
