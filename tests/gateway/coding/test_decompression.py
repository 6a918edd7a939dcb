"""Bodies are decompressed as they arrive: any split gives the content, damage is refused, and every step is bounded."""

import gzip
import zlib
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tandem_contract.decoding import InvalidMessage
from tandem_gateway.http.coding import decompression, requests
from tandem_gateway.http.coding.decompression import Decompressor
from tandem_gateway.http.coding.negotiation import CODINGS, Coding
from tandem_gateway.http.coding.replies import compress
from tandem_gateway.http.coding.requests import DecompressedBody
from tandem_gateway.http.coding.zstandard import CompressionParameter, ZstdCompressor
from tandem_runtime.body import STOP_DECODING, read_body
from tandem_runtime.memory import Lease, MemoryBudget, OverBudget
from tandem_runtime.request_id import Message

MIB = 1 << 20
codings = pytest.mark.parametrize("coding", CODINGS)


def decompress(coding: Coding, parts: Sequence[bytes], most: int = 1000) -> bytes:
    decompressor, content = Decompressor(coding), b""
    for part in parts:
        decompressor.feed(part)
        while piece := decompressor.take(most):
            assert len(piece) <= most
            content += piece
    decompressor.end()
    return content


def check_refused_as_damaged(coding: Coding, body: bytes) -> None:
    """Check that a body is decompressed, or refused with the error for damage, and nothing else."""
    refused: InvalidMessage | None = None
    try:
        decompress(coding, [body])
    except InvalidMessage as error:
        refused = error
    assert refused is None or (refused.code, refused.param) == ("malformed_body", "body")


def split(body: bytes, sizes: Sequence[int]) -> list[bytes]:
    parts, begin = [], 0
    for size in sizes:
        parts.append(body[begin : begin + size])
        begin += size
    return [*parts, body[begin:]]


@codings
@given(st.lists(st.binary(max_size=300), min_size=1, max_size=4), st.lists(st.integers(0, 50)), st.integers(1, 500))
def test_any_split_of_any_members_gives_the_content(
    coding: Coding, contents: list[bytes], sizes: list[int], most: int
) -> None:
    members = [compress(each, coding) for each in contents]
    body = b"".join(members)
    assert decompress(coding, split(body, sizes), most) == b"".join(contents)
    whole = {b"".join(members[:n]) for n in range(1, len(members) + 1)}
    for cut in {0, 1, len(body) // 2, len(body) - 1}:
        if body[:cut] not in whole:
            with pytest.raises(InvalidMessage, match=f"as {coding}: it ends too early"):
                decompress(coding, split(body[:cut], sizes), most)


@codings
@given(st.binary(max_size=300), st.lists(st.tuples(st.integers(0, 400), st.integers(1, 255)), max_size=3), st.data())
def test_a_damaged_body_is_refused_or_gives_its_content(
    coding: Coding, content: bytes, damage: list[tuple[int, int]], data: st.DataObject
) -> None:
    body = bytearray(compress(content, coding))
    for place, bits in damage:
        body[place % len(body)] ^= bits
    body = body[: data.draw(st.integers(0, len(body)))]
    check_refused_as_damaged(coding, bytes(body))


@codings
@given(st.binary(max_size=200))
def test_random_bytes_are_no_content(coding: Coding, body: bytes) -> None:
    check_refused_as_damaged(coding, body)


@pytest.mark.parametrize(
    "body", [b"no gzip", gzip.compress(b"x") + b"rest", zlib.compress(b"x"), gzip.compress(b"x")[:-4] + b"ABCD"]
)
def test_what_is_no_gzip_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidMessage, match="body: cannot be decompressed as gzip: "):
        decompress("gzip", [body])


@codings
def test_many_empty_members_are_refused(coding: Coding, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decompression, "MAX_MEMBERS", 3)
    assert decompress(coding, [compress(b"", coding) * 3]) == b""
    with pytest.raises(InvalidMessage, match="more than 3 members"):
        decompress(coding, [compress(b"", coding) * 4])


@pytest.mark.parametrize(("window_log", "fits"), [(23, True), (24, False)])
def test_a_zstd_window_over_8_mib_is_refused(window_log: int, fits: bool) -> None:
    frame = ZstdCompressor(options={CompressionParameter.window_log: window_log})
    body = frame.compress(bytes(17 * MIB)) + frame.flush()
    if fits:
        assert len(decompress("zstd", [body], MIB)) == 17 * MIB
    else:
        with pytest.raises(InvalidMessage, match="as zstd"):
            decompress("zstd", [body], MIB)


class Client:
    """Sends a body in parts and counts how many the service takes."""

    def __init__(self, parts: Sequence[bytes]) -> None:
        self.parts = list(parts)
        self.lease: Lease | None = None
        """Lease of the decompressor."""

    async def receive(self) -> Message:
        part = self.parts.pop(0)
        return {"type": "http.request", "body": part, "more_body": bool(self.parts)}


async def read(client: Client, coding: Coding, limit: int, memory: MemoryBudget) -> bytes:
    client.lease = memory.lease()
    body = DecompressedBody(client.receive, coding, client.lease, MIB)
    scope = {"type": "http", "headers": [], STOP_DECODING: body.stop}
    return bytes(await read_body(scope, body.receive, limit, lease=memory.lease()))


@codings
@settings(deadline=None)
@given(st.integers(0, 300_000), st.lists(st.integers(0, 5000), max_size=5))
async def test_a_body_is_read_in_the_loop_and_then_in_a_thread(coding: Coding, size: int, sizes: list[int]) -> None:
    content = bytes(number * number % 251 for number in range(size))
    memory = MemoryBudget(16 * MIB, "A_SETTING")
    assert await read(Client(split(compress(content, coding), sizes)), coding, MIB, memory) == content
    assert memory.held == 0


@codings
async def test_a_bomb_is_refused_soon_after_the_limit(coding: Coding, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[int] = []
    take = Decompressor.take

    def counted(self: Decompressor, most: int) -> bytes:
        piece = take(self, most)
        written.append(len(piece))
        return piece

    monkeypatch.setattr(Decompressor, "take", counted)
    memory = MemoryBudget(32 * MIB, "A_SETTING")
    bomb = compress(bytes(200 * MIB), coding)
    client = Client([bomb[:1000], bomb[1000:]])
    with pytest.raises(InvalidMessage, match="the decompressed body has more than 2097152 bytes") as refusal:
        await read(client, coding, 2 * MIB, memory)
    assert refusal.value.code == "body_too_large"
    assert sum(written) <= 2 * MIB + requests._STEP_BYTES
    assert client.parts == []  # the client can read the reply
    assert client.lease is not None
    assert client.lease.held == 0


@codings
async def test_the_rest_of_a_damaged_body_is_discarded(coding: Coding) -> None:
    client = Client([b"no content", *[b"x" * 1000] * 5])
    with pytest.raises(InvalidMessage, match="cannot be decompressed"):
        await read(client, coding, MIB, MemoryBudget(MIB, "A_SETTING"))
    assert client.parts == []


async def test_a_body_for_which_there_is_no_memory_is_refused() -> None:
    memory = MemoryBudget(MIB, "A_SETTING")
    with pytest.raises(OverBudget):
        await read(Client([compress(bytes(3 * MIB), "zstd")]), "zstd", 4 * MIB, memory)
    assert memory.held == 0
