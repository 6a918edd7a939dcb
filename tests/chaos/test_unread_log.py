"""A log without a reader stops neither service."""

import json
import os
from pathlib import Path

import pytest

from tandem_tools.readiness import get
from tests.support.stack import embedder_process, gateway_process, service_url

REQUESTS = 400
PATH = "/" + "x" * 1000
"""The path in each access log line; all lines together exceed a pipe's capacity."""


@pytest.mark.parametrize("name", ["gateway", "embedder"])
def test_a_service_answers_and_ends_while_its_log_is_full(tmp_path: Path, model_dir: Path, name: str) -> None:
    os.mkfifo(tmp_path / f"{name}.log")
    reader = os.open(tmp_path / f"{name}.log", os.O_RDONLY | os.O_NONBLOCK)
    if name == "gateway":
        process, client = gateway_process(tmp_path, tmp_path / "data", "http://127.0.0.1:9")
        client.close()
    else:
        process = embedder_process(tmp_path, model_dir)
    process.start().wait_ready()
    try:
        url = service_url(process)
        assert {get(url + PATH)[0] for _ in range(REQUESTS)} == {404}
        assert process.terminate() == 0
        written = b""
        while piece := os.read(reader, 65536):
            written += piece
    finally:
        process.close()
        os.close(reader)
    first, *lines = written.splitlines()[:-1]  # the last line may be incomplete
    assert json.loads(first)["message"] == "starting"
    assert 0 < sum(PATH in json.loads(line).get("path", "") for line in lines) < REQUESTS
