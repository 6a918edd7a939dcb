"""The comparison of embedding servers: three API shapes, real processes, and the failures of a server."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from gateway_bench import embed
from tandem_tools.process import Process, free_port
from tests.bench.conftest import children_with, listening
from tests.support.stack import wait_until

STUB = Path(__file__).with_name("stub_embeddings.py")
SHORT = ("-c", "1,2", "--rounds", "2", "--seconds", "0.05", "--warm-up", "2", "--batch", "3", "--model", "stub")

pytestmark = pytest.mark.slow


@pytest.fixture
def running_stub(tmp_path: Path) -> Iterator[tuple[str, int]]:
    """The URL and the process id of a stub that is already running."""
    port = free_port()
    process = Process(
        "stub", [sys.executable, STUB, "tei", str(port)], tmp_path / "elsewhere.log", env={"PORT": str(port)}
    )
    with process:
        wait_until(lambda: listening([psutil.Process(process.pid)]), "the stub")
        yield f"http://127.0.0.1:{port}", process.pid


@pytest.fixture
def stub_url(running_stub: tuple[str, int]) -> str:
    return running_stub[0]


def stub(shape: str, fault: str = "") -> str:
    return f"{sys.executable} {STUB} {shape} {{port}} {fault}"


def test_three_shapes_as_processes_and_as_a_url(
    stub_url: str, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "embed.json"
    started = [f"one={stub('tandem')}", f"two:tei={stub('tei')}", f"three:openai={stub('openai')}"]
    assert embed.main([*started, f"far:tei={stub_url}", *SHORT, "--corpus", str(corpus), "--json", str(target)]) == 0
    said = capsys.readouterr()
    assert "32/32" in said.err
    report = json.loads(target.read_text())
    assert [(s["name"], s["shape"], s["sampled"], s["dim"]) for s in report["servers"]] == [
        ("one", "tandem", True, 4),
        ("two", "tei", True, 4),
        ("three", "openai", True, 4),
        ("far", "tei", False, 4),
    ]
    assert [s["cosine"] for s in report["servers"]] == [None, *[pytest.approx(1.0)] * 3]
    assert len(report["loads"]) == 2 * 4 * 2 * 2
    assert all(load["texts"] > 0 and not load["errors"] for load in report["loads"])
    assert len(report["rows"]) == 4 * 2 * 2
    for row in report["rows"]:
        assert (row["rss_mib"] is None) is (row["server"] == "far")
        assert (row["cpu_ms"] is None) is (row["server"] == "far")
        assert (row["ratio"] is None) is (row["server"] == "one")
    lines = [line for line in said.out.splitlines() if line.startswith("| far")]
    assert len(lines) == 4
    assert all("| - | - | 1.0000 |" in line for line in lines)
    assert "Called by URL, so without memory and CPU time: far" in said.out
    assert {line.count("|") for line in said.out.splitlines() if line.startswith("|")} == {9}


def test_a_url_with_a_process_id_is_sampled(
    running_stub: tuple[str, int], corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url, pid = running_stub
    arguments = [f"near:tei={url}", "--pid", f"near={pid}", *SHORT, "--corpus", str(corpus), "--json", "-"]
    assert embed.main(arguments) == 0
    report = json.loads(capsys.readouterr().out)
    assert [server["sampled"] for server in report["servers"]] == [True]
    assert all(row["rss_mib"] > 1 and row["cpu_ms"] is not None for row in report["rows"])


def test_a_process_id_of_a_command_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        embed.main([f"one={stub('tandem')}", "--pid", f"one={os.getpid()}"])
    assert ended.value.code == 2
    assert "'one' is no server with a URL" in capsys.readouterr().err


def test_tandems_own_embedder_serves_the_precision_that_its_name_says(
    model_dir: Path, served_precision: str, corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--corpus", str(corpus), "--model-dir", str(model_dir), *SHORT[:-2], "--rounds", "1", "--json", "-"]
    assert embed.main(["tandem-fp32", "tandem", *arguments]) == 0
    servers = json.loads(capsys.readouterr().out)["servers"]
    assert [server["name"] for server in servers] == ["tandem-fp32", "tandem"]
    assert servers[1]["cosine"] > 0.95
    assert (servers[1]["cosine"] < 0.99999) is (served_precision == "int8")


def test_tandems_own_embedder_is_measured_without_servers(
    model_dir: Path, corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--corpus", str(corpus), "--model-dir", str(model_dir), *SHORT[:-2], "--rounds", "1", "--json", "-"]
    assert embed.main(arguments) == 0
    report: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert [(s["name"], s["dim"], s["failure"]) for s in report["servers"]] == [("tandem", 384, None)]
    assert {(row["kind"], row["clients"]) for row in report["rows"]} == {
        ("query", 1),
        ("query", 2),
        ("document", 1),
        ("document", 2),
    }
    assert all(row["rss_mib"] > 20 for row in report["rows"])


@pytest.mark.parametrize(
    ("server", "reason"),
    [
        (f"bad={sys.executable} -c 'raise ValueError(1)'", "the command ended with status 1: ValueError: 1"),
        ("bad=no-such-program {port}", "the command cannot be started"),
        (f"bad={stub('tandem', 'deaf')}", "the command is not ready after 1 s"),
        (f"bad:tei={stub('tei', 'loading')}", "the command is not ready after 1 s"),
        (f"bad={stub('tei')}", "POST /embed answered 422"),
        (f"bad:openai={stub('tei')}", "POST /v1/embeddings answered 404: no such route: is openai its shape?"),
        (f"bad:tei={stub('tei', 'short')}", "another number of vectors than of texts"),
        (f"bad:tei={stub('tei', 'infinite')}", "not in the shape tei"),
        (f"bad:tei={stub('tei', 'dies')}", "the command ended with status 9: out of memory"),
        (f"bad=http://127.0.0.1:{free_port()}", "does not answer"),
    ],
)
def test_a_failed_server_is_reported_in_one_line_and_the_others_are_measured(
    server: str, reason: str, corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = f"good={stub('tandem')}"
    arguments = [good, server, *SHORT, "--ready-seconds", "1", "--corpus", str(corpus), "--json", "-"]
    assert embed.main(arguments) == 1
    said = capsys.readouterr()
    (line,) = [line for line in said.err.splitlines() if line.startswith("gateway_bench:")]
    assert "bad failed: " in line
    assert reason in line
    report = json.loads(said.out)
    assert len([load for load in report["loads"] if load["server"] == "good"]) == 8
    assert report["servers"][0]["failure"] is None
    assert reason in report["servers"][1]["failure"]
    assert not children_with(str(STUB), os.getpid())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_writes_its_measurements_and_leaves_no_process(
    number: signal.Signals, corpus: Path, tmp_path: Path
) -> None:
    target = tmp_path / "embed.json"
    arguments = ["a=" + stub("tandem"), "b=" + stub("tandem", "loading"), *SHORT, "--corpus", corpus, "--json", target]
    command = [sys.executable, "-m", "gateway_bench.embed", *arguments]
    with (tmp_path / "err").open("w+") as said, subprocess.Popen(command, stderr=said) as run:
        try:
            # The second server never becomes ready, so the run waits for it after all loads of the first server.
            left = wait_until(lambda: listening(children_with("loading", run.pid)), "the second server")
            run.send_signal(number)
            assert run.wait(30) == 130
        finally:
            run.kill()
        said.seek(0)
        assert "gateway_bench: interrupted; no process is left" in said.read()
    assert len(json.loads(target.read_text())["loads"]) == 4
    assert not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in left)


@pytest.mark.parametrize(
    ("servers", "reason"),
    [
        (["a=http://127.0.0.1:1", "a=x {port}"], "two servers are named 'a'"),
        (["tandem", "tandem:tei=x"], "two servers are named 'tandem'"),
        (["a:grpc=http://127.0.0.1:1"], "'grpc' is none of the shapes tandem, tei, openai"),
        (["http://127.0.0.1:1"], "NAME[:SHAPE]=URL"),
        (["../a=x"], "is no name"),
        (["a=x 'y"], "No closing quotation"),
        (["a="], "needs a URL or a command"),
        (["a=http://"], "has no host"),
    ],
)
def test_a_wrong_server_is_named(servers: list[str], reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        embed.main(servers)
    assert ended.value.code == 2
    assert reason in capsys.readouterr().err


def test_a_missing_model_and_a_missing_corpus_are_said_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert embed.main(["--model-dir", str(tmp_path)]) == 1
    assert "holds no prepared model: run make model" in capsys.readouterr().err
    assert embed.main(["a=http://127.0.0.1:1", "--corpus", str(tmp_path / "none")]) == 1
    said = capsys.readouterr().err
    assert "No such file" in said
    assert said.count("\n") == 1
    (tmp_path / "file").touch()
    assert embed.main(["a=http://127.0.0.1:1", "--json", str(tmp_path / "file" / "embed.json")]) == 1
    said = capsys.readouterr().err
    assert "file" in said
    assert said.count("\n") == 1
