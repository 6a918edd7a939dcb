"""A comparison with servers that Tandem does not ship, given by command or URL, and their failures."""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from gateway_bench import compare
from gateway_bench.report import main as report_main
from tandem_tools.process import Process, free_port
from tests.bench.conftest import children_with, listening
from tests.support.stack import wait_until

pytestmark = pytest.mark.slow

STUB = Path(__file__).with_name("stub_search.py")
SHORT = ["--architectures", "none", "-n", "30", "--warm-up", "5", "-c", "1,4"]


@pytest.fixture
def running_stub(tmp_path: Path) -> Iterator[tuple[str, Process]]:
    """The URL and the process of a stub that is already running."""
    port = free_port()
    process = Process(
        "stub", [sys.executable, STUB, str(port), tmp_path], tmp_path / "elsewhere.log", env={"PORT": str(port)}
    )
    with process:
        wait_until(lambda: listening([psutil.Process(process.pid)]), "the stub")
        yield f"http://127.0.0.1:{port}", process


@pytest.fixture
def elsewhere(running_stub: tuple[str, Process]) -> str:
    """The URL alone."""
    return running_stub[0]


def stub(fault: str = "") -> str:
    return f"{sys.executable} {STUB} {{port}} {{data}} {fault}"


def run(tmp_path: Path, corpus: Path, *arguments: str) -> tuple[int, dict[str, Any], str]:
    """Return the exit status, results.json and report.md; the last two are empty if no file was written."""
    out = tmp_path / "out"
    folders = ["--out", str(out), "--work", str(tmp_path / "work"), "--corpus", str(corpus)]
    status = compare.main([*SHORT, *folders, *arguments])
    results, report = out / "results.json", out / "report.md"
    return (
        status,
        json.loads(results.read_text()) if results.exists() else {},
        report.read_text() if report.exists() else "",
    )


def test_a_command_and_a_url_are_in_the_same_rounds_results_and_tables(
    elsewhere: str, corpus: Path, tmp_path: Path
) -> None:
    status, results, report = run(
        tmp_path, corpus, "--rounds", "2", "--also", f"here={stub()}", "--also", f"there={elsewhere}/"
    )
    assert status == 0
    assert [(s["key"], s["sampled"], s["failure"]) for s in results["architectures"]] == [
        ("here", True, None),
        ("there", False, None),
    ]
    turns = [(load["round"], load["architecture"]) for load in results["loads"]]
    assert list(dict.fromkeys(turns)) == [(1, "here"), (1, "there"), (2, "here"), (2, "there")]
    for load in results["loads"]:
        assert (load["summary"]["ok"], load["summary"]["errors"]) == (30, {})
        assert (load["usage"] == {}) is (load["architecture"] == "there")
    for start in results["starts"]:
        assert (start["cold_start_seconds"] is None) is (start["architecture"] == "there")
        assert start["ingest_docs_per_second"] > 0
    (row,) = [line for line in report.splitlines() if line.startswith("| there |") and line.count("|") == 11]
    assert [cell.strip() for cell in row.split("|")][6:10] == ["–"] * 4
    assert "Called by URL, so without memory, CPU time and cold start: there." in report
    assert (tmp_path / "out" / "memory.svg").stat().st_size > 0
    assert report_main([str(tmp_path / "out" / "results.json")]) == 0


def test_a_url_with_a_process_id_is_sampled(running_stub: tuple[str, Process], corpus: Path, tmp_path: Path) -> None:
    url, process = running_stub
    status, results, report = run(
        tmp_path, corpus, "--rounds", "1", "--also", f"near={url}", "--pid", f"near={process.pid}"
    )
    assert status == 0
    (subject,) = results["architectures"]
    assert (subject["sampled"], subject["description"]) == (True, f"a running server, process {process.pid}")
    assert all(load["usage"]["near"]["rss_peak"] > 1 for load in results["loads"])
    assert [start["cold_start_seconds"] for start in results["starts"]] == [None]
    assert "Called by URL" not in report
    assert psutil.pid_exists(process.pid)  # the benchmark did not start it, so it does not end it


def test_the_run_waits_until_a_server_with_readyz_is_ready(corpus: Path, tmp_path: Path, model_dir: Path) -> None:
    settings = f"TANDEM_GATEWAY_PORT={{port}} TANDEM_DATA_DIR={{data}} TANDEM_MODEL_DIR={model_dir}"
    command = f"env {settings} {sys.executable} -m gateway_bench.architectures.one_process"
    status, results, _ = run(tmp_path, corpus, "--rounds", "1", "--also", f"one={command}", "--ready-seconds", "60")
    assert status == 0
    assert results["architectures"][0]["failure"] is None
    assert [load["summary"]["ok"] for load in results["loads"]] == [30, 30]
    assert all(load["usage"]["one"]["rss_peak"] > 20 for load in results["loads"])


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (f"bad={sys.executable} -c 'raise ValueError(1)'", "the bad ended with status 1: ValueError: 1"),
        ("bad=no-such-program {port}", "the bad cannot be started"),
        (f"bad={stub('loading')}", "is not ready after 1 s (/readyz or /healthz: status 503)"),
        (f"bad={stub('refusing')}", "the ingest failed: disk full"),
        (f"bad={stub('dies')}", "the bad ended with status 9: out of memory"),
        (f"bad=http://127.0.0.1:{free_port()}", "is not ready after 5 s (/readyz or /healthz: no answer)"),
    ],
)
def test_a_server_that_fails_is_in_the_table_and_the_others_are_measured(
    other: str, reason: str, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--rounds", "1", "--ready-seconds", "1", "--also", other]
    status, results, report = run(tmp_path, corpus, *arguments, "--also", f"good={stub()}")
    assert status == 0
    failed, good = results["architectures"]
    assert reason in failed["failure"]
    assert good["failure"] is None
    assert len([load for load in results["loads"] if load["architecture"] == "good"]) == 2
    assert f"| bad | failed: {failed['failure'][:20]}" in report
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "failed: " in line]
    assert reason in line
    assert not children_with(str(STUB), os.getpid())


def test_a_url_that_holds_other_documents_is_not_measured(
    elsewhere: str, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, corpus, "--rounds", "1", "--also", f"there={elsewhere}")[0] == 0
    assert run(tmp_path / "again", corpus, "--rounds", "1", "--also", f"there={elsewhere}", "--documents", "19")[0] == 1
    assert "holds 20 documents, and 19 are to be searched: empty it first" in capsys.readouterr().err
    assert run(tmp_path / "empty", corpus, "--rounds", "1", "--also", f"there={elsewhere}", "--allow-empty")[0] == 1
    assert "holds 20 documents, and 0 are to be searched: restart it without data" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--also", "a=http://127.0.0.1:1", "--also", "a=x"], "two of the servers are named 'a'"),
        (["--also", "C-int8=x"], "'C-int8' is the name of an architecture"),
        (["--also", "http://127.0.0.1:1"], "is no name"),
        (["--also", "a=x 'y"], "No closing quotation"),
        (["--also", "a="], "needs a URL or a command"),
        (["--also", "a=http://127.0.0.1:1", "--pid", "a"], "NAME=PID was expected, not 'a'"),
        (["--also", "a=http://127.0.0.1:1", "--pid", "b=1"], "--pid b=1: 'b' is no server with a URL"),
        (["--also", "a=x", "--pid", "a=1"], "--pid a=1: 'a' is no server with a URL"),
        (["--also", "a=http://127.0.0.1:1", "--pid", "a=99999999"], "--pid a=99999999: the process cannot be read: No"),
        (["--also", "a=http://127.0.0.1:1", "--pid", "a=1", "--pid", "a=2"], "--pid names a server twice"),
        (["--architectures", "none"], "nothing to measure without --also"),
    ],
)
def test_a_wrong_server_is_named(arguments: list[str], reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        compare.main(arguments)
    assert ended.value.code == 2
    assert reason in capsys.readouterr().err
