"""The gateway follows its OpenAPI document: schemathesis makes valid and invalid requests from the document.

Access control is on: an admin key does everything, and a search key gets 403 wherever its role is too small.
"""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.http_embedder import HttpFakeEmbedder
from tests.support.stack import Client, gateway_process
from tests.support.tools import tool

REPOSITORY = Path(__file__).resolve().parents[2]
ADMIN_KEY = "a-key-from-outside-of-32-characters"
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


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folder = tmp_path_factory.mktemp("gateway")
    with HttpFakeEmbedder() as embedder:
        environment = {
            "TANDEM_API_KEY": ADMIN_KEY,
            "TANDEM_METRICS_KEY": "true",
            "TANDEM_MAX_COLLECTIONS": "1000",
            # Without a canary, the operators' API refuses every share except 0.
            "TANDEM_CANARY_URL": embedder.url,
            **SMALL_LIMITS,
        }
        process, client = gateway_process(folder, folder / "data", embedder.url, env=environment)
        client.http.headers["authorization"] = f"Bearer {ADMIN_KEY}"
        with process:
            client.ingest_and_wait([{"id": "a", "text": "a document that is there"}])
            yield client
        client.close()


@pytest.fixture
def document(client: Client) -> dict[str, Any]:
    """The document of a gateway with access control: its operations need a key."""
    found: dict[str, Any] = client.http.get("/openapi.json").json()
    for operations in found["paths"].values():
        for operation in operations.values():
            if "security" in operation:
                operation["security"] = [each for each in operation["security"] if each]
    return found


def run(url: str, document: dict[str, Any], folder: Path, key: str, hooks: str, *options: str) -> None:
    """Run schemathesis with a key; fail if it finds anything."""
    (folder / "openapi.json").write_text(json.dumps(document))
    command = [
        tool("schemathesis"),
        "run",
        "openapi.json",
        f"--url={url}",
        f"--header=Authorization:Bearer {key}",
        f"--seed={SEED}",
        "--generation-database=none",
        "--request-timeout=30",
        "--continue-on-failure",
        "--no-color",
        *options,
    ]
    more = {
        "SCHEMATHESIS_HOOKS": hooks,
        "PYTHONPATH": os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")]),
    }
    environment = {**os.environ, **more, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-5_000:]


@pytest.mark.fuzz
@pytest.mark.timeout(3600)
def test_the_gateway_keeps_to_its_document(client: Client, document: dict[str, Any], tmp_path: Path) -> None:
    run(
        client.url,
        document,
        tmp_path,
        ADMIN_KEY,
        "tests.fuzz.hooks",
        "--checks=all",
        # It takes a list of documents for the document that a DELETE with ``id`` to the same path deleted.
        "--exclude-checks=use_after_free",
        f"--max-examples={EXAMPLES}",
    )
    assert client.health().status == "ok"


@pytest.mark.fuzz
@pytest.mark.timeout(3600)
def test_a_search_key_is_refused_where_its_role_is_too_small(
    client: Client, document: dict[str, Any], tmp_path: Path
) -> None:
    made = client.http.post("/v1/admin/keys", json={"name": "search", "role": "search"})
    run(
        client.url,
        document,
        tmp_path,
        made.json()["key"],
        "tests.fuzz.search_key_hooks",
        "--checks=refuses_a_search_key,not_a_server_error,status_code_conformance,response_schema_conformance",
        "--phases=fuzzing",
        "--mode=positive",
        "--suppress-health-check=all",
        # The hooks skip valid files; tests/gateway/access has the roles of these operations.
        "--exclude-path=/v1/ingest/files",
        "--exclude-path=/process",
        f"--max-examples={1 if EXAMPLES < 100 else 20}",
    )
