"""A real embedder follows its OpenAPI document: schemathesis makes valid and invalid requests from the document."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.support.stack import embedder_process, service_url
from tests.support.tools import tool

REPOSITORY = Path(__file__).resolve().parents[2]
DOCUMENT = REPOSITORY / "docs" / "embedder-openapi.json"
TOKEN = "a-token-for-gateways-only"
SEED = 20
# Examples per operation: few in `make test`, many in `make fuzz`.
EXAMPLES = 300 if os.environ.get("HYPOTHESIS_PROFILE") == "fuzz" else 10
MAX_TEXTS, MAX_CHARS = 4, 60
"""Small limits: schemathesis makes bodies at every limit of the document."""


@pytest.mark.fuzz
@pytest.mark.timeout(600)
def test_the_embedder_keeps_to_its_document(tmp_path: Path, model_dir: Path) -> None:
    document = json.loads(DOCUMENT.read_text())
    texts = document["components"]["schemas"]["EmbedRequest"]["properties"]["texts"]
    texts["maxItems"], texts["items"]["maxLength"] = MAX_TEXTS, MAX_CHARS
    (tmp_path / "openapi.json").write_text(json.dumps(document))
    settings = {
        "TANDEM_EMBEDDER_TOKEN": TOKEN,
        "TANDEM_MAX_CLIENT_BATCH_SIZE": str(MAX_TEXTS),
        "TANDEM_EMBEDDER_MAX_TEXT_CHARS": str(MAX_CHARS),
    }
    hooks = {"SCHEMATHESIS_HOOKS": "tests.fuzz.embedder_hooks"}
    paths = os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, **hooks, "PYTHONPATH": paths, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    with embedder_process(tmp_path, model_dir, env=settings) as embedder:
        command = [
            tool("schemathesis"),
            "run",
            str(tmp_path / "openapi.json"),
            f"--url={service_url(embedder)}",
            "--checks=all",
            "--exclude-checks=use_after_free",  # as for the gateway; nothing here can be deleted
            f"--max-examples={EXAMPLES}",
            f"--seed={SEED}",
            f"--header=Authorization:Bearer {TOKEN}",
            "--generation-database=none",
            "--request-timeout=30",
            "--continue-on-failure",
            "--no-color",
        ]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-5_000:]
