"""The report from results to tables and figures: medians, ratios within a round, failures, marked blocks."""

from pathlib import Path

import msgspec
import pytest

from gateway_bench import report
from gateway_bench.architectures.sampling import Usage
from gateway_bench.load.timings import Latency, Summary
from gateway_bench.reporting import blocks, tables
from gateway_bench.reporting.aggregate import aggregate, reference_concurrency
from gateway_bench.results import (
    Machine,
    Measured,
    Results,
    Start,
    Subject,
    UnreadableResults,
    Workload,
    read_results,
    write_results,
)


def summary(rps: float, p95: float, errors: dict[str, int] | None = None) -> Summary:
    return Summary(
        requests=1000,
        ok=1000,
        errors=errors or {},
        empty=0,
        seconds=10.0,
        rps=rps,
        latency=Latency(mean=p95 / 2, p50=p95 / 2, p95=p95, p99=p95 * 1.2, max=p95 * 2),
        lag_p95=0.0,
        client_cpu_us=10.0,
        distribution=[p95 * share / 100 for share in range(105)],
    )


def usage(rss: float, cpu: float) -> Usage:
    return Usage(rss_peak=rss, pss_peak=rss - 10, rss_end=rss - 5, pss_end=rss - 15, cpu_seconds=cpu)


def made() -> Results:
    loads = []
    # The machine is half as fast in round 2: rates change, ratios do not.
    for number, pace in ((1, 1.0), (2, 0.5), (3, 0.9)):
        for clients, rps, p95 in ((1, 20.0, 50.0), (16, 60.0, 300.0)):
            loads.append(Measured("A", number, clients, summary(rps * pace, p95 / pace), {"monolith": usage(900, 9.0)}))
        for clients, rps, p95 in ((1, 200.0, 5.0), (16, 600.0, 30.0)):
            used = {"embedder": usage(130, 2.0), "gateway": usage(70, 0.5)}
            loads.append(Measured("C-int8", number, clients, summary(rps * pace, p95 / pace), used))
    architectures = [
        Subject("A", "A. Monolith", "", {"torch": "1"}),
        Subject("C-int8", "C. Tandem", "", {"onnxruntime": "1"}),
        Subject("Cx2-int8", "C×2", "", {}, failure="the gateway ended | with status 1"),
    ]
    starts = [Start("A", number, 3.0 + number, 40.0) for number in (1, 2, 3)]
    workload = Workload("texts", 100, "0" * 64, "queries", 5, [1, 16], 3, 10.0, None, 300)
    where = Machine("a CPU", 2, 8.0, "Linux", "3.11")
    ceilings = {"1": 20_000.0, "16": 700.0}
    return Results(1, "2026-01-01", "abc", where, workload, ceilings, architectures, starts, loads)


def test_medians_are_of_rounds_and_ratios_of_the_same_round() -> None:
    monolith, tandem, failed = aggregate(made())
    assert tandem.loads[16].rps == pytest.approx(600 * 0.9)
    assert tandem.loads[16].rps_ratio == pytest.approx(10.0)
    assert tandem.loads[16].p95_ratio == pytest.approx(0.1)
    assert tandem.rss_ratio == pytest.approx(200 / 900)
    assert tandem.total_rss == 200
    assert tandem.total_pss == 180
    assert tandem.loads[16].cpu_ms == pytest.approx({"embedder": 2.0, "gateway": 0.5})
    assert monolith.loads[16].rps_ratio is None
    assert (monolith.cold_start, monolith.ingest) == (5.0, 40.0)
    assert failed.loads == {}


def test_the_main_table_is_of_sixteen_clients_or_of_the_middle() -> None:
    results = made()
    assert reference_concurrency(results) == 16
    other = msgspec.structs.replace(results.workload, concurrency=[1, 4, 8])
    assert reference_concurrency(msgspec.structs.replace(results, workload=other)) == 4


def test_a_failed_architecture_is_in_the_table_with_its_reason_and_breaks_no_column() -> None:
    results = made()
    table = tables.comparison(results, aggregate(results))
    (failed,) = [line for line in table.splitlines() if line.startswith("| C×2")]
    assert "failed: the gateway ended / with status 1" in failed
    rows = [line for line in table.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in rows} == {11}


def test_of_a_server_that_was_only_called_memory_cpu_and_start_are_unknown_and_not_zero() -> None:
    results = made()
    loads = [msgspec.structs.replace(load, usage={}) if load.architecture != "A" else load for load in results.loads]
    starts = [*results.starts, Start("C-int8", 1, None, 40.0)]
    subjects = [msgspec.structs.replace(subject, sampled=subject.key != "C-int8") for subject in results.architectures]
    results = msgspec.structs.replace(results, loads=loads, starts=starts, architectures=subjects)
    rows = aggregate(results)
    assert (rows[1].rss_ratio, rows[1].cold_start, rows[1].ingest) == (None, None, 40.0)
    table = tables.comparison(results, rows)
    assert "| C. Tandem | 540 (10.0 ×) | 16.7 | 33.3 (0.10 ×) | 40.0 | – | – | – | – | 40 |" in table
    assert "Called by URL, so without memory, CPU time and cold start: C. Tandem." in table
    assert "| C. Tandem | 540 (16, 33), – | 1, – | 2, – | 19, – |" in tables.projection(results, rows, 100.0)


def test_a_result_near_the_ceiling_is_marked() -> None:
    results = made()
    table = tables.comparison(results, aggregate(results))
    assert "C. Tandem, 16 clients: limited by the client" in table
    assert "C. Tandem, 1 client: limited by the client" not in table


@pytest.mark.parametrize(("seconds", "quick"), [(2.0, True), (10.0, False), (None, False)])
def test_a_quick_run_is_called_one(seconds: float | None, quick: bool) -> None:
    results = made()
    results = msgspec.structs.replace(results, workload=msgspec.structs.replace(results.workload, seconds=seconds))
    assert ("A quick run" in tables.comparison(results, aggregate(results))) is quick


def test_errors_are_reported_and_give_no_capacity() -> None:
    results = made()
    loads = [
        msgspec.structs.replace(load, summary=summary(600.0, 30.0, {"HTTP 429": 3}))
        if load.architecture == "C-int8" and load.concurrency == 16
        else load
        for load in results.loads
    ]
    results = msgspec.structs.replace(results, loads=loads)
    rows = aggregate(results)
    assert "errors: 9 × HTTP 429" in tables.comparison(results, rows)
    (line,) = [line for line in tables.projection(results, rows, 100.0).splitlines() if "| 180 (1," in line]
    assert line.startswith("| C. Tandem |")


def test_the_projection_says_where_no_load_kept_to_the_target() -> None:
    results = made()
    text = tables.projection(results, aggregate(results), 40.0)
    assert "| A. Monolith | no load was within 40 ms | – | – | – |" in text
    # One copy serves 540 RPS: 1,000 RPS take two copies of 200 MiB each.
    assert "| C. Tandem | 540 (16, 33), 200 | 1, 200 MiB | 2, 400 MiB | 19, 3.7 GiB |" in text


def test_results_survive_the_file_and_others_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    write_results(path, made())
    assert read_results(path) == made()
    for content, said in (
        ("{}", "holds no results"),
        (path.read_text().replace('"format": 1', '"format": 9'), "format 9"),
    ):
        other = tmp_path / "other.json"
        other.write_text(content)
        with pytest.raises(UnreadableResults, match=said):
            read_results(other)


def test_the_command_writes_a_report_the_figures_and_the_blocks(tmp_path: Path) -> None:
    path, document = tmp_path / "results.json", tmp_path / "page.md"
    write_results(path, made())
    document.write_text(
        "before\n<!-- table:comparison -->\nOUTDATED\n<!-- /table:comparison -->\nbetween\n"
        "<!-- table:empty -->\nkept\n<!-- /table:empty -->\nafter\n"
    )
    assert report.main([str(path), "--update", str(document)]) == 0
    text = document.read_text()
    assert "| C. Tandem | 540 (10.0 ×) |" in text
    assert "OUTDATED" not in text
    assert text.startswith("before\n")
    assert "<!-- table:empty -->\nkept\n<!-- /table:empty -->\nafter\n" in text
    assert (tmp_path / "report.md").read_text().count("## ") == 4
    for name in ("latency-throughput", "memory", "latency"):
        assert (tmp_path / f"{name}.svg").read_text().startswith("<?xml")
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    # A second run changes nothing.
    assert report.main([str(path), "--update", str(document)]) == 0
    assert document.read_text() == text


def test_a_block_that_does_not_end_is_refused_and_nothing_is_lost() -> None:
    with pytest.raises(blocks.BrokenBlock):
        blocks.fill("<!-- table:comparison -->\ntext\n", {"comparison": "x"})
