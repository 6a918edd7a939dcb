"""Two gateways share a store in PostgreSQL: each finds what the other has acknowledged, with the keys of both."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support import postgres
from tests.support.http_embedder import HttpFakeEmbedder
from tests.support.postgres_check import find_damage
from tests.support.processes import ServiceProcess
from tests.support.stack import Client, gateway_process, wait_until
from tests.support.texts import distinct_texts

Gateways = list[tuple[ServiceProcess, Client]]


@pytest.fixture
def url() -> Iterator[str]:
    taken = postgres.databases().take_url()
    yield taken
    assert find_damage(taken) == []
    postgres.databases().give_back(taken)


@pytest.fixture
def gateways(tmp_path: Path, url: str) -> Iterator[Gateways]:
    """Two gateways, each with a data directory of its own."""
    with ExitStack() as opened:
        embedder = opened.enter_context(HttpFakeEmbedder())
        made = []
        for name in ("one", "two"):
            environment = {"TANDEM_STORE_URL": url}
            process, client = gateway_process(tmp_path, tmp_path / name, embedder.url, name=name, env=environment)
            opened.callback(client.close)
            made.append((opened.enter_context(process), client))
        for _, client in made:
            wait_until(lambda client=client: client.health().model_loaded, "the gateway sees the embedder")
        yield made


def command(url: str, data_dir: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tandem_gateway", *arguments],
        env={**os.environ, "TANDEM_STORE_URL": url, "TANDEM_DATA_DIR": str(data_dir)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_each_gateway_finds_what_the_other_has_acknowledged(gateways: Gateways):
    (_, one), (_, two) = gateways
    texts = distinct_texts(60)
    for number, text in enumerate(texts):
        writer, reader = (one, two) if number % 2 else (two, one)
        writer.ingest_and_wait([{"id": f"d{number}", "text": text}])
        assert reader.found(text, 1) == [f"d{number}"]
    for number, text in enumerate(texts):
        writer, reader = (one, two) if number % 2 else (two, one)
        assert writer.delete_document(f"d{number}")
        assert f"d{number}" not in reader.found(text, 60)
    assert [client.health().document_count for client in (one, two)] == [0, 0]


def test_a_key_of_the_command_line_counts_for_every_gateway(gateways: Gateways, url: str, tmp_path: Path):
    made = command(url, tmp_path / "one", "keys", "create", "--name", "app", "--role", "search")
    assert made.returncode == 0, made.stderr

    def refused(client: Client) -> bool:
        return client.http.post("/v1/search", json={"query": "a"}).status_code == 401

    for _, client in gateways:
        wait_until(lambda client=client: refused(client), "access control")
        client.http.headers["authorization"] = f"Bearer {made.stdout.strip()}"
        assert client.search("a").results == []


def test_the_commands_of_a_data_directory(gateways: Gateways, url: str, tmp_path: Path):
    (process, one), _ = gateways
    texts = distinct_texts(20)
    one.ingest_and_wait([{"id": f"d{number}", "text": text} for number, text in enumerate(texts)])
    assert process.terminate() == 0
    verified = command(url, tmp_path / "one", "verify")
    assert (verified.returncode, verified.stderr) == (0, "")
    rebuilt = command(url, tmp_path / "one", "rebuild")
    assert rebuilt.returncode == 0, rebuilt.stderr
    refused = command(url, tmp_path / "one", "compact")
    assert refused.returncode == 1
    assert "pg_dump and VACUUM" in refused.stderr
    process.start().wait_ready()
    assert one.found(texts[3], 1) == ["d3"]
