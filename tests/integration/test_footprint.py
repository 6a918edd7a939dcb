"""A gateway's costs before its first request: memory, and the packages that it loads."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.http_embedder import HttpFakeEmbedder
from tests.support.stack import gateway_process
from tests.support.texts import distinct_texts

MAX_RESIDENT_BYTES = 88 << 20
MAX_RESIDENT_BYTES_WITH_MCP = 124 << 20
# Litestar's dependencies for its command line and tests; this service does not need them.
NEVER = {"httpx", "httpcore", "rich", "rich_click", "jinja2", "faker", "polyfactory", "pygments", "starlette"}


@pytest.mark.parametrize(("mcp", "most"), [("false", MAX_RESIDENT_BYTES), ("true", MAX_RESIDENT_BYTES_WITH_MCP)])
def test_a_fresh_gateway_with_a_small_store_is_small(tmp_path: Path, mcp: str, most: int) -> None:
    with HttpFakeEmbedder() as embedder:
        process, client = gateway_process(tmp_path, tmp_path / "data", embedder.url, env={"TANDEM_MCP": mcp})
        with process:
            client.ingest_and_wait([{"text": text} for text in distinct_texts(1000)])
            assert process.terminate() == 0
            process.start().wait_ready()
            assert client.health().document_count == 1000
            assert process.resident_bytes() < most
        client.close()


def test_the_gateway_loads_nothing_that_it_does_not_need() -> None:
    script = "import json, sys, tandem_gateway.server; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    loaded = {name.partition(".")[0] for name in json.loads(done.stdout)}
    assert {"tandem_gateway", "litestar", "uvicorn"} <= loaded
    assert loaded & NEVER == set()
