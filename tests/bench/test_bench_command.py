"""The benchmark's command against real services: Tandem as two services, and in one process."""

import csv
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway_bench import bench
from gateway_bench.api import document_count, make_empty_collection
from gateway_bench.corpus import read_corpus
from tandem_tools.client import Client
from tandem_tools.corpus import Document
from tandem_tools.process import free_port
from tandem_tools.readiness import answers
from tests.bench.conftest import ScriptedServer
from tests.support.processes import ServiceProcess
from tests.support.stack import Stack


@pytest.fixture(scope="module")
def documents() -> list[Document]:
    return read_corpus(None)[0][:20]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, model_dir: Path) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("bench"), model_dir) as running:
        yield running


def command(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gateway_bench.bench", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "HTTP_PROXY": "http://127.0.0.1:9"},
    )


def test_an_empty_index_is_not_timed_and_then_the_documented_command_works(
    stack: Stack, documents: list[Document], tmp_path: Path
) -> None:
    refused = command(stack.client.url, "-c", "4", "-n", "50")
    assert refused.returncode == 1
    assert "no documents" in refused.stderr
    assert "--allow-empty" in refused.stderr

    with Client(stack.client.url) as api:
        make_empty_collection(api)
        assert (document_count(api), api.search("anything").results) == (0, [])
        api.ingest_all(documents)
        assert document_count(api) == len(documents)
    raw, summary = tmp_path / "raw.csv", tmp_path / "summary.json"
    done = command(
        stack.client.url, "-c", "1,4", "-n", "100", "--csv", raw, "--json", summary, "--ceiling-seconds", "0.2"
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(summary.read_text())
    assert report["document_count"] == len(documents)
    assert [run["concurrency"] for run in report["runs"]] == [1, 4]
    for run in report["runs"]:
        assert (run["summary"]["ok"], run["summary"]["errors"], run["summary"]["empty"]) == (100, {}, 0)
        assert run["ceiling_rps"] > run["summary"]["rps"]
        assert run["limited_by_client"] is False
    with raw.open(newline="") as file:
        assert [row["outcome"] for row in csv.DictReader(file)] == ["ok"] * 200
    other = command(stack.client.url, "--collection", "misspelt")
    assert other.returncode == 1
    assert "documents are in default: name one with --collection" in other.stderr
    assert "errors" in done.stdout
    assert " 4 clients " in done.stdout


def test_one_process_answers_as_two_do(
    stack: Stack, documents: list[Document], model_dir: Path, tmp_path: Path
) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    one = ServiceProcess(
        "gateway_bench.architectures.one_process",
        env={
            "TANDEM_GATEWAY_PORT": str(port),
            "TANDEM_DATA_DIR": str(tmp_path / "data"),
            "TANDEM_MODEL_DIR": str(model_dir),
        },
        ready_url=f"{url}/model/readyz",
        log_path=tmp_path / "one.log",
    )
    with one, Client(url) as api, Client(stack.client.url) as split:
        one.wait_for(answers(f"{url}/readyz"))
        for server in (api, split):
            server.ingest_all(documents)
        found = [server.search("create a temporary file", 5).results for server in (api, split)]
    assert len(found[0]) == 5
    assert [hit.id for hit in found[0]] == [hit.id for hit in found[1]]
    for hit, other in zip(*found, strict=True):
        assert hit.score == pytest.approx(other.score, abs=1e-3)


def test_a_collection_in_which_nothing_is_found_is_not_timed(
    server: ScriptedServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.script = lambda number: (200, b'{"results": [], "took_ms": 0.1}')
    arguments = [server.url, "-n", "20", "--warm-up", "0", "--ceiling-seconds", "0", "--repeat"]
    assert bench.main(arguments) == 1
    assert "finds none" in capsys.readouterr().err
    assert bench.main([*arguments, "--allow-empty"]) == 0
    assert "20 of 20 answers found nothing" in capsys.readouterr().out


def test_a_run_with_only_refusals_has_no_result(server: ScriptedServer, capsys: pytest.CaptureFixture[str]) -> None:
    found = server.script
    server.script = lambda number: found(number) if number == 0 else (429, b"{}")
    arguments = [server.url, "-n", "20", "--warm-up", "0", "--ceiling-seconds", "0", "--repeat", "x"]
    assert bench.main(arguments) == 1
    assert "20 x HTTP 429" in capsys.readouterr().out


def test_a_missing_server_is_reported_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.main([f"http://127.0.0.1:{free_port()}", "--repeat"]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "GET http://127.0.0.1" in said


@pytest.mark.parametrize(
    "arguments", [["-c", "0"], ["-c", "1,x"], ["--rate", "-1"], ["-n", "5", "-d", "1"], ["--top-k", "0"]]
)
def test_a_wrong_argument_is_named(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        bench.main(["http://127.0.0.1:1", *arguments])
    assert ended.value.code == 2
    assert arguments[-2] in capsys.readouterr().err
