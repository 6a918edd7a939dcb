"""The gateway of the tests of tenants."""

from collections.abc import Iterator

import pytest

from tandem_gateway.access.key_administration import KeyAdministration, NewKey
from tandem_gateway.adapters.sqlite.key_store import SqliteKeyStore
from tests.gateway.access.tenants import Tenants
from tests.support.http_embedder import HttpFakeEmbedder
from tests.support.stack import gateway_process, wait_until


@pytest.fixture(scope="module")
def tenants(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tenants]:
    """A gateway for all tests of the module."""
    folder = tmp_path_factory.mktemp("tenants")
    store = SqliteKeyStore(folder / "data")
    create = KeyAdministration(store).create
    keys = {
        "a": create(NewKey("a", "ingest", filter={"tenant": "a"}))[1],
        "b": create(NewKey("b", "ingest", filter={"tenant": "b"}))[1],
        "writer": create(NewKey("writer", "ingest"))[1],
        "admin": create(NewKey("admin", "admin"))[1],
    }
    store.close()
    with HttpFakeEmbedder() as embedder:
        process, client = gateway_process(
            folder, folder / "data", embedder.url, env={"TANDEM_MCP": "true", "TANDEM_MAX_COLLECTIONS": "10000"}
        )
        process.start()
        try:
            process.wait_ready()
            wait_until(lambda: client.health().status == "ok", "the gateway sees the embedder")
            yield Tenants(int(client.url.rpartition(":")[2]), keys)
            assert process.terminate() == 0, process.log_text()
        finally:
            client.close()
            process.close()
