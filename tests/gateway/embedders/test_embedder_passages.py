"""The client of an embedder that splits texts: what it sends, and which passages it accepts."""

from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem_contract.embed import Chunking, EmbedRequest, PackedEmbedReply, Passage
from tandem_gateway.adapters.embedder_replies import is_whole
from tandem_gateway.adapters.http.messages import Response
from tandem_gateway.errors import EmbedderBroken, EmbedderRejected
from tandem_gateway.records import chunking
from tandem_gateway.records.chunking import Span, Split
from tandem_gateway.records.coverage import Coverage
from tandem_runtime.replies import error_reply
from tests.gateway.embedders.asked import Answer, Asked, Request
from tests.support.fakes import DIM, FINGERPRINT, MODEL, paragraphs, vectors_of

TEXTS = ["one\n\ntwo ", "three"]
PASSAGES = [Passage(0, 0, 3, 3), Passage(0, 5, 8, 3), Passage(1, 0, 5, 3)]
SPLIT = Split(chunking.Chunking(128, 16), "markdown")


def reply(passages: Sequence[Passage] | None = PASSAGES, **changes: object) -> Answer:
    rows = 3 if passages is None else len(passages)
    packed = PackedEmbedReply(
        b"".join(vectors_of(["v"]).astype("<f4").tobytes() for _ in range(rows)),
        DIM,
        MODEL,
        FINGERPRINT,
        [3] * rows,
        [False] * rows,
    )
    packed = msgspec.structs.replace(packed, unknown=[0.0] * rows, **changes)
    if passages is not None:
        packed = msgspec.structs.replace(packed, passages=list(passages))
    return lambda request: Response(200, [], msgspec.msgpack.encode(packed))


async def embed(asked: Asked, texts: Sequence[str] = TEXTS):
    return await asked.client.embed(texts, kind="document", priority="bulk", timeout=5.0, split=SPLIT)


async def test_the_request_has_the_collections_chunking_and_the_reply_has_spans():
    asked = Asked(reply(truncated=[False, True, False]))
    found = await embed(asked)
    (request,) = asked.requests
    sent = msgspec.msgpack.decode(request.body, type=EmbedRequest)
    assert (sent.texts, sent.chunking) == (TEXTS, Chunking(128, 16, "markdown"))
    assert found.spans == [[Span(0, 3), Span(5, 8)], [Span(0, 5)]]
    assert found.vectors.shape == (3, DIM)
    assert list(found.coverages) == [Coverage(), Coverage(truncated=True), Coverage()]
    assert asked.outcomes == ["ok"]


@pytest.mark.parametrize(
    "passages",
    [
        None,
        [],
        PASSAGES[:2],  # none of the second text
        PASSAGES[1:],  # the beginning of the first text is missing
        [PASSAGES[0], PASSAGES[2]],  # its end is
        [PASSAGES[1], PASSAGES[0], PASSAGES[2]],
        [PASSAGES[2], PASSAGES[0], PASSAGES[1]],
        [*PASSAGES, Passage(2, 0, 1, 3)],
        [*PASSAGES[:2], Passage(1, 0, 6, 3)],
        [*PASSAGES[:2], Passage(1, 0, 5, 3), Passage(1, 2, 5, 3)],
        [*PASSAGES[:2], Passage(1, -1, 5, 3)],
        [Passage(-1, 0, 3, 3), *PASSAGES],
    ],
)
async def test_passages_that_do_not_cover_their_texts_are_refused(passages: list[Passage] | None):
    asked = Asked(reply(passages))
    with pytest.raises(EmbedderBroken):
        await embed(asked)
    assert asked.outcomes == ["EmbedderBroken"]


async def test_a_reply_with_fewer_vectors_than_passages_is_refused():
    with pytest.raises(EmbedderBroken, match="bytes for 3 texts"):
        await embed(Asked(reply(embeddings=vectors_of(["v"] * 2).tobytes())))


async def test_an_embedder_of_an_earlier_release_gets_whole_texts(caplog: pytest.LogCaptureFixture):
    def answer(request: Request) -> Response:
        if msgspec.msgpack.decode(request.body, type=EmbedRequest).chunking:
            refusal = error_reply("unknown_field", "chunking: is not known", "chunking")
            return Response(422, [], refusal)
        packed = PackedEmbedReply(
            vectors_of(TEXTS).astype("<f4").tobytes(), DIM, MODEL, FINGERPRINT, [3, 3], [True, False], [0.0, 0.0]
        )
        return Response(200, [], msgspec.msgpack.encode(packed))

    asked = Asked(answer)
    for _ in range(2):
        found = await embed(asked)
        assert (found.spans, len(found.vectors)) == (None, 2)
        assert list(found.coverages) == [Coverage(truncated=True), Coverage()]
    assert len(asked.requests) == 4
    assert [record.message for record in caplog.records] == [
        "an embedder of an earlier release does not split texts: long ones are truncated"
    ]


async def test_another_refusal_is_passed_on():
    refusal = error_reply("limit_exceeded", "chunking.max_tokens: too many", "chunking.max_tokens")
    with pytest.raises(EmbedderRejected, match="too many"):
        await embed(Asked(lambda request: Response(422, [], refusal)))


@given(st.text(alphabet="ab \n", min_size=1, max_size=40), st.data())
def test_paragraphs_are_whole_and_without_one_of_them_they_are_not(text: str, data: st.DataObject):
    spans = paragraphs(text)
    assert is_whole(text, spans) == (len(spans) > 0)
    if spans:
        without = data.draw(st.integers(0, len(spans) - 1))
        assert not is_whole(text, spans[:without] + spans[without + 1 :])
