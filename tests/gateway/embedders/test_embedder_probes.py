"""The probes of an embedder: whether it is ready, what it says of its model, and whether it accepts the token."""

import msgspec
import pytest

from tandem_contract.embed import ReadyReply
from tandem_gateway.adapters.http.messages import ConnectFailed, ConnectionBroken, Response
from tandem_gateway.adapters.pool.replica import ProbeResult
from tandem_gateway.records.embedders import ServedModel
from tests.gateway.embedders.asked import Asked, Request, answering
from tests.support.fakes import DIM, FINGERPRINT, MODEL

READY = ReadyReply(MODEL, FINGERPRINT, DIM, 256, "int8")


@pytest.mark.parametrize(("status", "found"), [(200, "ready"), (503, "not_ready"), (404, "not_ready")])
async def test_readiness_follows_readyz(status: int, found: str):
    asked = answering(status, msgspec.json.encode(READY))

    assert (await asked.client.probe(timeout=1.0)).found == found
    assert asked.requests[0].path == "/readyz"


async def test_a_ready_embedder_describes_its_model(caplog: pytest.LogCaptureFixture):
    asked = answering(200, msgspec.json.encode(READY))
    result = await asked.client.probe(timeout=1.0)
    assert result == ProbeResult("ready", ServedModel(FINGERPRINT, MODEL, DIM, 256, "int8"))
    assert caplog.messages == []


@pytest.mark.parametrize("status", [503, 404])
async def test_the_description_of_an_unready_embedder_is_not_taken(status: int):
    asked = answering(status, msgspec.json.encode(READY))
    assert (await asked.client.probe(timeout=1.0)).served is None


@pytest.mark.parametrize(
    ("body", "served"),
    [
        (b"{}", None),
        (b'{"status":"ready"}', None),
        (b'{"model":"m","dim":8}', None),
        (b'{"fingerprint":"f"}', ServedModel("f")),
        (b'{"fingerprint":"f","dim":8,"new":[{}]}', ServedModel("f", dim=8)),
    ],
)
async def test_an_embedder_of_another_release_may_leave_out_fields(
    body: bytes, served: ServedModel | None, caplog: pytest.LogCaptureFixture
):
    assert await answering(200, body).client.probe(timeout=1.0) == ProbeResult("ready", served)
    assert caplog.messages == []


HOSTILE = {
    "empty": b"",
    "no JSON": b"<html>ready</html>",
    "no object": b"[1]",
    "null": b"null",
    "no UTF-8": b'{"fingerprint":"\xff"}',
    "a lone surrogate": b'{"fingerprint":"\\ud800"}',
    "deep": b'{"a":' + b"[" * 4000,
    "a wrong type": b'{"fingerprint":7}',
    "a wrong number": b'{"fingerprint":"f","dim":1e999}',
    "a name without end": b'{"fingerprint":"' + b"f" * 4000 + b'"}',
    "an unknown field without end": b'{"' + b"x" * 4000 + b'":1,"fingerprint":[]}',
    "too large": b'{"fingerprint":"f"}' + b" " * 4096,
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE)
async def test_a_description_that_cannot_be_read_is_logged_once_and_the_status_counts(
    body: bytes, caplog: pytest.LogCaptureFixture
):
    asked = answering(200, body)

    for _ in range(3):
        assert await asked.client.probe(timeout=1.0) == ProbeResult("ready")

    (record,) = caplog.records
    assert record.message == "an embedder's description of its model cannot be read and is ignored"
    assert record.levelname == "WARNING"
    assert 0 < len(vars(record)["error"]) < 400
    assert vars(record)["replica"] == "http://embedder"


async def test_a_description_that_breaks_again_is_logged_again_but_not_for_each_reason(
    caplog: pytest.LogCaptureFixture,
):
    bodies = [b"?", b"[]", b" " * 5000, msgspec.json.encode(READY), b"?"]
    asked = Asked(lambda request: Response(200, [], bodies.pop(0)))

    for _ in range(5):
        assert (await asked.client.probe(timeout=1.0)).found == "ready"

    assert len(caplog.messages) == 2


async def test_an_answer_that_no_embedder_gives_is_logged_once(caplog: pytest.LogCaptureFixture):
    asked = answering(404)

    for _ in range(3):
        await asked.client.probe(timeout=1.0)

    errors = [getattr(record, "error", None) for record in caplog.records]
    assert errors == ["/readyz has the status 404; is there an embedder at this URL?"]


@pytest.mark.parametrize(
    ("error", "found"),
    [(ConnectFailed("refused"), "unreachable"), (ConnectionBroken("reset"), "unreachable"), (TimeoutError(), "late")],
)
async def test_a_silent_embedder_is_unreachable_or_late(error: Exception, found: str):
    def answer(request: Request) -> Response:
        raise error

    asked = Asked(answer)
    assert await asked.client.probe(timeout=1.0) == ProbeResult(found)  # type: ignore[arg-type]


async def test_a_probe_tells_that_the_token_is_refused_once(caplog: pytest.LogCaptureFixture):
    asked = answering(
        200, msgspec.json.encode(ReadyReply("m", "f" * 32, 8, 256, "int8")), {"x-embedder-token": "refused"}
    )
    for _ in range(3):
        assert await asked.client.probe(timeout=1.0) == ProbeResult("token_refused")
    assert [record.message for record in caplog.records] == ["an embedder refuses the gateway's token"]


async def test_a_probe_whose_token_is_accepted_is_ready():
    asked = answering(
        200, msgspec.json.encode(ReadyReply("m", "f" * 32, 8, 256, "int8")), {"x-embedder-token": "accepted"}
    )
    assert (await asked.client.probe(timeout=1.0)).found == "ready"
