"""The gateway follows its OpenAPI document: schemathesis makes valid and invalid requests from the document."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.http_embedder import HttpFakeEmbedder
from tests.support.stack import Client, gateway_process
from tests.support.tools import tool

REPOSITORY = Path(__file__).resolve().parents[2]
TOKEN = "a-token-for-operators-only"
SEED = 20
# Examples per operation: few in `make test`, many in `make fuzz`.
EXAMPLES = 300 if os.environ.get("HYPOTHESIS_PROFILE") == "fuzz" else 10
# schemathesis makes bodies at every limit of the document, whatever the number of examples. With the usual limits, most
# of its time goes to texts of 100,000 characters and lists of 10,000 documents.
SMALL_LIMITS = {
    "TANDEM_MAX_TEXT_CHARS": "1000",
    "TANDEM_MAX_DOCUMENTS_PER_REQUEST": "20",
    "TANDEM_MAX_RERANK_DOCUMENTS": "20",
}


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    with HttpFakeEmbedder() as embedder:
        environment = {
            "TANDEM_ADMIN_TOKEN": TOKEN,
            "TANDEM_MAX_COLLECTIONS": "1000",
            # Without a canary, the operators' API refuses every share except 0.
            "TANDEM_CANARY_URL": embedder.url,
            **SMALL_LIMITS,
        }
        process, client = gateway_process(tmp_path, tmp_path / "data", embedder.url, env=environment)
        with process:
            client.ingest_and_wait([{"id": "a", "text": "a document that is there"}])
            yield client
        client.close()


@pytest.mark.fuzz
@pytest.mark.timeout(3600)
def test_the_gateway_keeps_to_its_document(client: Client, tmp_path: Path) -> None:
    command = [
        tool("schemathesis"),
        "run",
        f"{client.url}/openapi.json",
        "--checks=all",
        # It takes a list of documents for the document that a DELETE with ``id`` to the same path deleted.
        "--exclude-checks=use_after_free",
        f"--max-examples={EXAMPLES}",
        f"--seed={SEED}",
        f"--header=Authorization:Bearer {TOKEN}",
        "--generation-database=none",
        "--request-timeout=30",
        "--continue-on-failure",
        "--no-color",
    ]
    hooks = {"SCHEMATHESIS_HOOKS": "tests.fuzz.hooks", "PYTHONPATH": str(REPOSITORY)}
    environment = {**os.environ, **hooks, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-5_000:]
    assert client.health().status == "ok"
