"""Vectors are written as JSON, the same by the event loop and by a thread, and a large reply is in the budget."""

import asyncio
import base64 as standard

import msgspec
import numpy as np
import pytest

from tandem_gateway.http.coding.replies import CompressingSend
from tandem_gateway.http.compatible.vectors import BASE64_BYTES, FLOAT_BYTES, base64, numbers, write_vectors
from tandem_gateway.use_cases.embed_request import EmbeddedTexts
from tandem_runtime.http import Reply
from tandem_runtime.memory import FREE_BYTES, MemoryBudget, OverBudget
from tests.support.fakes import vectors_of


async def written(count: int, memory: MemoryBudget | None = None, *, truncated: int = 0, packed: bool = False) -> Reply:
    blocks = [vectors_of([f"text {n}" for n in range(begin, min(begin + 64, count))]) for begin in range(0, count, 64)]
    return await write_vectors(
        EmbeddedTexts(blocks, "a-model", count, truncated),
        b'{"rows":[',
        (lambda place, row: b'"%s"' % base64(row)) if packed else (lambda place, row: numbers(row)),
        b'],"end":1}',
        memory or MemoryBudget(1 << 24, "A_SETTING"),
        number_bytes=BASE64_BYTES if packed else FLOAT_BYTES,
        turn=asyncio.Lock(),
        compressible=not packed,
    )


@pytest.mark.parametrize("count", [1, 2, 64, 65, 2048])
async def test_both_formats_have_the_bits_of_the_vectors(count: int):
    wanted = vectors_of([f"text {n}" for n in range(count)])
    floats = msgspec.json.decode((await written(count)).body)
    assert floats["end"] == 1
    np.testing.assert_array_equal(np.array(floats["rows"], np.float32), wanted)
    packed = msgspec.json.decode((await written(count, packed=True)).body)
    rows = [np.frombuffer(standard.b64decode(row), "<f4") for row in packed["rows"]]
    np.testing.assert_array_equal(np.stack(rows), wanted)


async def test_only_truncated_texts_are_told():
    assert (await written(3)).headers == ()
    assert (await written(3, truncated=2)).headers == ((b"tandem-truncated-inputs", b"2"),)


async def test_base64_is_not_compressed_and_numbers_are():
    for packed in (False, True):
        reply = await written(2048, packed=packed)
        sent = []

        async def send(message, sent=sent):
            sent.append(message)

        compressing = CompressingSend(send, "gzip", 1 << 16, MemoryBudget(1 << 24, "A_SETTING"))
        fields = [(b"content-type", b"application/json"), *reply.headers]
        await compressing({"type": "http.response.start", "status": 200, "headers": fields})
        await compressing({"type": "http.response.body", "body": reply.body})
        assert len(reply.body) > 1 << 16
        assert (sent[1]["body"] == reply.body) is packed


async def test_a_large_reply_is_in_the_budget_until_it_is_gone():
    memory = MemoryBudget(1 << 24, "A_SETTING")
    assert (await written(64, memory)).lease is None
    reply = await written(2048, memory)
    assert memory.held == len(reply.body) - FREE_BYTES
    del reply
    assert memory.held == 0
    with pytest.raises(OverBudget):
        await written(2048, MemoryBudget(1 << 18, "A_SETTING"))
