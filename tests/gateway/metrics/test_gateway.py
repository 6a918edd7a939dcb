"""Renamed metrics keep their old names for one release; rare metrics exist from the start; the memory budget."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tandem_gateway.app import build_gateway
from tandem_gateway.index.state import IndexState
from tandem_gateway.metrics.gateway import Metrics
from tandem_gateway.settings import Settings
from tandem_runtime.http import ROUTE
from tandem_runtime.memory import FREE_BYTES, MemoryBudget

RENAMED = {
    "tandem_gateway_request_seconds": "tandem_gateway_request_duration_seconds",
    "tandem_gateway_embed_call_seconds": "tandem_gateway_embedder_call_duration_seconds",
    "tandem_gateway_replica_call_seconds": "tandem_gateway_replica_call_duration_seconds",
    "tandem_gateway_embed_retries": "tandem_gateway_embedder_retries",
    "tandem_gateway_embedding_retries": "tandem_gateway_embedding_backoffs",
    "tandem_gateway_known_queries": "tandem_gateway_query_vector_cache_hits",
    "tandem_gateway_index_search_seconds": "tandem_gateway_index_search_duration_seconds",
    "tandem_gateway_lexical_search_seconds": "tandem_gateway_lexical_search_duration_seconds",
    "tandem_gateway_commit_seconds": "tandem_gateway_commit_duration_seconds",
}


@pytest.mark.parametrize(("old", "new"), RENAMED.items())
def test_an_old_name_has_the_samples_of_the_new(old: str, new: str) -> None:
    metrics = Metrics("0")
    metrics.requests.observe({ROUTE: "/v1/search"}, 200, 0.02)
    metrics.embedders.replica_calls("stable", "a:1")("ok", 0.01)
    metrics.embedders.retried("stable", "late")
    metrics.documents.backed_off("overloaded")
    metrics.searches.vector_cache_hits.inc(3)
    metrics.searches.index_duration.observe(0.001)
    metrics.searches.lexical_duration.observe(0.001)
    metrics.documents.commit_duration.observe(0.001)
    families = {family.name: family for family in text_string_to_metric_families(metrics.exposition().decode())}
    assert families[old].type == families[new].type
    assert families[old].documentation == f"Deprecated, use {new}."
    samples = {
        (sample.name.removeprefix(old), *sample.labels.items(), sample.value) for sample in families[old].samples
    }
    assert samples == {
        (sample.name.removeprefix(new), *sample.labels.items(), sample.value) for sample in families[new].samples
    }
    assert any(sample.value for sample in families[new].samples)


def test_attempts_to_truncate_a_log_are_counted_from_zero() -> None:
    metrics = Metrics("0")
    metrics.documents.log_truncated("store", "busy")
    exported = metrics.exposition().decode()
    for database in ("store", "keyword_index"):
        for outcome in ("done", "busy", "failed"):
            series = f'tandem_gateway_log_truncations_total{{database="{database}",outcome="{outcome}"}}'
            count = 1.0 if (database, outcome) == ("store", "busy") else 0.0
            assert f"{series} {count}\n" in exported


def test_a_scrape_reads_the_memory_budget() -> None:
    metrics, memory = Metrics("0"), MemoryBudget(10_000_000, "X")
    metrics.requests.watch_memory(memory)
    lease = memory.lease()
    lease.hold(1_000_000 + FREE_BYTES)
    assert "tandem_gateway_in_flight_bytes 1e+06\n" in metrics.exposition().decode()
    assert "tandem_gateway_in_flight_limit_bytes 1e+07\n" in metrics.exposition().decode()
    lease.release()
    assert "tandem_gateway_in_flight_bytes 0.0\n" in metrics.exposition().decode()


def test_the_gateway_reports_its_own_budget() -> None:
    gateway = build_gateway(Settings(max_bytes_in_flight=200_000_000))
    lease = gateway.memory.lease()
    lease.hold(3_000_000 + FREE_BYTES)
    exported = gateway.metrics.exposition().decode()
    assert "tandem_gateway_in_flight_bytes 3e+06\n" in exported
    assert "tandem_gateway_in_flight_limit_bytes 2e+08\n" in exported


def state(space_id: int, count: int, *, serving: bool, collection: str = "books") -> IndexState:
    return IndexState(space_id, collection, count, count, 0, 0, 0, 9, 0, serving)


@pytest.mark.parametrize(
    ("second", "serving", "missing", "expected"),
    [((2, 3), (1, 10), 7, "filling"), ((2, 10), (1, 10), 0, "ready"), ((1, 10), (2, 10), 0, "switched")],
)
def test_the_progress_of_a_reembedding(
    second: tuple[int, int], serving: tuple[int, int], missing: int, expected: str
) -> None:
    metrics = Metrics("0")
    metrics.reembedding.set(
        [state(*serving, serving=True), state(*second, serving=False), state(5, 4, serving=True, collection="other")]
    )
    exported = metrics.exposition().decode()
    assert f'tandem_gateway_reembedding_passages{{collection="books",part="embedded"}} {second[1]}.0\n' in exported
    assert f'tandem_gateway_reembedding_passages{{collection="books",part="missing"}} {missing}.0\n' in exported
    for each in ("filling", "ready", "switched"):
        series = f'tandem_gateway_reembedding_state{{collection="books",state="{each}"}}'
        assert f"{series} {float(each == expected)}\n" in exported
    metrics.reembedding.set([state(*serving, serving=True)])
    assert "tandem_gateway_reembedding_state{" not in metrics.exposition().decode()
