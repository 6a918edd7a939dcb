"""Two API keys ingest into one collection: the one with few documents does not wait for the other's."""

import threading
from pathlib import Path

from tandem_contract.embed import EmbedRequest
from tandem_gateway.access.key_administration import KeyAdministration, NewKey
from tandem_gateway.adapters.sqlite.key_store import SqliteKeyStore
from tandem_gateway.app import make_app
from tandem_gateway.settings import Settings
from tests.gateway.access.test_limits_of_routes import Asked
from tests.support.fakes import WAIT_SECONDS, eventually
from tests.support.http_embedder import HttpFakeEmbedder
from tests.support.serving import serving

MANY = 100


async def test_a_key_with_one_document_waits_for_a_few_calls_of_another_with_many(tmp_path: Path) -> None:
    store = SqliteKeyStore(tmp_path)
    many, few = (KeyAdministration(store).create(NewKey(name, "ingest"))[1] for name in ("many", "few"))
    store.close()
    calls: list[list[str]] = []
    both_wait = threading.Event()

    def accepts(request: EmbedRequest) -> bool:
        calls.append(request.texts)
        return both_wait.wait(WAIT_SECONDS)

    with HttpFakeEmbedder(accepts=accepts) as embedder:
        settings = Settings(data_dir=tmp_path, embedder_url=embedder.url, access_log=False, bulk_batch=1, bulk_calls=1)
        app, running = make_app(settings, lambda: None)
        async with serving(app, lifespan=True) as port:
            await eventually(running.health, lambda health: health.status == "ok")
            asked = Asked(port, [many, few])
            documents = [{"id": str(number), "text": f"text {number}"} for number in range(MANY)]
            assert (await asked.send(many, ("POST", "/v1/ingest", {"documents": documents})))[0] == 202
            one = {"documents": [{"id": "one", "text": "the one"}]}
            status, _, job = await asked.send(few, ("POST", "/v1/ingest", one))
            assert status == 202
            both_wait.set()
            path = f"/v1/jobs/{job['job_id']}?wait_seconds=30"
            assert (await asked.send(few, ("GET", path, None)))[2]["status"] == "completed"
    assert calls.index(["the one"]) < 10
