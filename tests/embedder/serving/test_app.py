"""The application without a socket, with a model that tests can break: probes, defects, a model that fails to load."""

import asyncio
import logging
from collections.abc import AsyncIterator
from concurrent.futures import Future
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx2 as httpx
import msgspec
import pytest

from tandem_contract.embed import ReadyReply
from tandem_embedder.app import make_app
from tandem_embedder.lifecycle import Service
from tandem_embedder.model.prepared_model import PreparedModelError
from tandem_embedder.model.verified_load import LoadedModel
from tandem_embedder.settings import Settings
from tandem_runtime.memory import FREE_BYTES
from tests.embedder.serving.doubles import FakeModel, FakeSplitter, FakeTokenizer
from tests.embedder.serving.manifests import MANIFEST
from tests.support.fakes import eventually


@dataclass
class AppFixture:
    """An application, its client, and the objects behind it."""

    client: httpx.AsyncClient
    service: Service
    starting: "asyncio.Task[None]"
    loading: "Future[LoadedModel]"
    model: FakeModel
    tokenizer: FakeTokenizer

    async def become_ready(self, precision: str = "int8") -> None:
        self.loading.set_result(LoadedModel(self.tokenizer, FakeSplitter(), self.model, precision, 1.0, {}))
        await self.starting
        assert (await self.client.get("/readyz")).status_code == 200


@asynccontextmanager
async def serving(settings: Settings | None = None) -> AsyncIterator[AppFixture]:
    loading: Future[LoadedModel] = Future()
    settings = settings or Settings(workers=1, max_body_bytes=1000)
    service = Service(settings, MANIFEST, loading)
    app = make_app(service, settings)
    starting = service.start()
    model, tokenizer = FakeModel(), FakeTokenizer()
    transport = httpx.ASGITransport(app, raise_app_exceptions=True)  # type: ignore[arg-type]
    async with httpx.AsyncClient(
        transport=transport, base_url="http://localhost", headers={"content-type": "application/json"}
    ) as client:
        try:
            yield AppFixture(client, service, starting, loading, model, tokenizer)
        finally:
            model.gate.set()
            await service.stop()


def code_of(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["code"]


async def test_it_is_live_before_it_is_ready_and_reports_the_reason():
    async with serving() as fixture:
        assert (await fixture.client.get("/livez")).status_code == 200
        unready = await fixture.client.get("/readyz")
        assert code_of(unready) == (503, "not_ready")
        assert "being loaded" in unready.text
        assert unready.headers["retry-after"] == "1"
        refused = await fixture.client.post("/embed", json={"texts": ["a"]})
        assert code_of(refused) == (503, "not_ready")
        await fixture.become_ready()
        served = await fixture.client.post("/embed", json={"texts": ["a"]})
        assert served.json()["embeddings"] == [[3.0, 101.0, 102.0, 204.0]]


async def test_it_describes_the_loaded_model():
    async with serving() as fixture:
        assert "build_info" not in (await fixture.client.get("/metrics")).text
        await fixture.become_ready(precision="fp32")
        fingerprint = MANIFEST.variants["fp32"].fingerprint
        ready = msgspec.json.decode((await fixture.client.get("/readyz")).content, type=ReadyReply)
        assert ready == ReadyReply("a-model", fingerprint, MANIFEST.dim, MANIFEST.max_seq_length, "fp32")
        served = await fixture.client.post("/embed", json={"texts": ["a"]})
        assert served.json()["fingerprint"] == fingerprint
        info = f'build_info{{fingerprint="{fingerprint}",model="a-model",precision="fp32"}} 1.0'
        assert info in (await fixture.client.get("/metrics")).text


@pytest.mark.parametrize(
    "error", [PreparedModelError("a file is missing"), MemoryError("no room"), RuntimeError("odd")]
)
async def test_a_model_that_fails_to_load_is_never_ready_and_says_why(error: Exception):
    async with serving() as fixture:
        fixture.loading.set_exception(error)
        await fixture.starting
        unready = await fixture.client.get("/readyz")
        assert code_of(unready) == (503, "not_ready")
        assert str(error) in unready.json()["error"]["message"]
        assert (await fixture.client.get("/livez")).status_code == 200


async def test_a_dead_worker_ends_readiness_and_liveness():
    async with serving() as fixture:
        await fixture.become_ready()
        fixture.model.errors.append(SystemExit("pulled the plug"))
        for _ in range(2):
            assert code_of(await fixture.client.post("/embed", json={"texts": ["a"]})) == (503, "not_ready")
        for path in ("/readyz", "/livez"):
            response = await fixture.client.get(path)
            assert code_of(response) == (503, "not_ready")
            assert "pulled the plug" in response.text
        assert "tandem_embedder_ready 0.0" in (await fixture.client.get("/metrics")).text


async def test_a_model_error_is_a_500_and_the_next_request_works(caplog: pytest.LogCaptureFixture):
    async with serving() as fixture:
        await fixture.become_ready()
        fixture.model.errors.append(ValueError("a secret of the model"))
        failed = await fixture.client.post("/embed", json={"texts": ["a"]})
        assert code_of(failed) == (500, "internal")
        assert "secret" not in failed.text
        assert (await fixture.client.post("/embed", json={"texts": ["a"]})).status_code == 200
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [ValueError]


async def test_a_defect_is_a_500_and_one_log_line_with_its_traceback(caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.INFO):
        async with serving() as fixture:
            await fixture.become_ready()
            fixture.tokenizer.tokenize = lambda texts: 1 / 0  # type: ignore[method-assign,assignment,return-value]
            failed = await fixture.client.post("/embed", json={"texts": ["a"]}, headers={"x-request-id": "r-1"})
            assert code_of(failed) == (500, "internal")
            assert failed.headers["x-request-id"] == "r-1"
            assert 'queued_tokens{lane="interactive"} 0.0' in (await fixture.client.get("/metrics")).text
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [ZeroDivisionError]


async def test_it_reports_the_bytes_in_flight_and_their_limit():
    settings = Settings(workers=1, max_body_bytes=1_000_000, max_bytes_in_flight=10_000_000)
    async with serving(settings) as fixture:
        await fixture.become_ready()
        fixture.model.gate.clear()
        asked = asyncio.create_task(fixture.client.post("/embed", json={"texts": ["a" * 5000] * 60}))

        async def held() -> str:
            text = (await fixture.client.get("/metrics")).text
            assert "tandem_embedder_in_flight_limit_bytes 1e+07\n" in text
            return text.partition("\ntandem_embedder_in_flight_bytes ")[2].partition("\n")[0]

        await eventually(held, lambda bytes: bytes == f"{300_000 - FREE_BYTES:.1f}")
        fixture.model.gate.set()
        assert (await asked).status_code == 200
        await eventually(held, lambda bytes: bytes == "0.0")


async def test_a_body_over_the_limit_is_refused_before_it_is_read_as_json():
    async with serving() as fixture:
        await fixture.become_ready()
        assert code_of(await fixture.client.post("/embed", content=b"{" * 1001)) == (413, "body_too_large")


async def test_while_it_drains_it_refuses_new_requests():
    async with serving() as fixture:
        await fixture.become_ready()
        fixture.model.gate.clear()
        accepted = asyncio.create_task(fixture.client.post("/embed", json={"texts": ["a"]}))
        await fixture.model.wait_called()
        fixture.service.readiness.draining()
        assert code_of(await fixture.client.get("/readyz")) == (503, "not_ready")
        assert code_of(await fixture.client.post("/embed", json={"texts": ["b"]})) == (503, "not_ready")
        fixture.model.gate.set()
        assert (await accepted).status_code == 200
