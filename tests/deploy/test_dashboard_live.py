"""The dashboard's queries against a real Prometheus that scrapes real services."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx2 as httpx
import pytest
import yaml

from tandem_tools.process import Process, free_port
from tandem_tools.readiness import answers
from tests.deploy.dashboard import dashboard_queries
from tests.deploy.manifests import DEPLOY
from tests.deploy.metrics import used
from tests.support.processes import ServiceProcess
from tests.support.stack import Client, Stack, embedder_process, service_url, wait_until
from tests.support.texts import distinct_texts
from tests.support.tools import tool

SCRAPES = 3
SERVICES = 3

# A healthy system has no series for these.
EMPTY = {
    "tandem_embedder_rejected_total",
    "tandem_gateway_engine_missing_vectors",  # no collection is in an engine
    "tandem_gateway_canary_fallbacks_total",
    "tandem_gateway_embedder_retries_total",
    "tandem_gateway_embedding_backoffs_total",
}
FAILED = 'code=~"429|5.."'


class Prometheus:
    """A running Prometheus."""

    def __init__(self, url: str) -> None:
        self.http = httpx.Client(base_url=url, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()

    def ask(self, query: str) -> list[dict[str, Any]]:
        """Return the samples of a query as of now."""
        reply = self.http.get("/api/v1/query", params={"query": query})
        assert reply.status_code == 200, (query, reply.text)
        result: list[dict[str, Any]] = reply.json()["data"]["result"]
        return result


@dataclass(frozen=True)
class Monitored:
    """A gateway with two pools of one embedder each, and a Prometheus that scrapes all three."""

    prometheus: Prometheus
    client: Client
    canary: ServiceProcess

    def panel(self, title: str) -> list[dict[str, Any]]:
        """Return the samples of a panel."""
        return [sample for query in dashboard_queries()[title] for sample in self.prometheus.ask(query)]


@pytest.fixture(scope="module")
def monitored(model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Monitored]:
    program = tool("prometheus")
    folder = tmp_path_factory.mktemp("prometheus")
    configuration = yaml.safe_load((DEPLOY / "monitoring" / "prometheus.yml").read_text())
    canary = embedder_process(folder, model_dir, name="canary")
    pools = {
        "TANDEM_CANARY_URL": service_url(canary),
        "TANDEM_CANARY_WEIGHT": "50",
        "TANDEM_CANARY_SHADOW": "100",
        # A busy machine must not cause a rollback.
        "TANDEM_ROLLBACK_ERROR_RATE": "1",
        "TANDEM_ROLLBACK_P95_RATIO": "1000",
    }
    with canary, Stack(folder, model_dir, gateway_env=pools) as stack:
        targets = {
            "tandem-gateway": [stack.client.url],
            "tandem-embedder": [stack.embedder_url, service_url(canary)],
        }
        for job in configuration["scrape_configs"]:
            job.pop("dns_sd_configs", None)
            job["static_configs"] = [{"targets": [url.removeprefix("http://") for url in targets[job["job_name"]]]}]
        configuration["global"] |= {
            "scrape_interval": "500ms",
            "scrape_timeout": "500ms",
            "evaluation_interval": "500ms",
        }
        (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration))
        (folder / "alerts.yml").write_text((DEPLOY / "monitoring" / "alerts.yml").read_text())
        port = free_port()
        process = Process(
            "prometheus",
            [
                program,
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'tsdb'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            folder / "prometheus.log",
            ready=answers(f"http://127.0.0.1:{port}/-/ready"),
        )
        with process, Prometheus(f"http://127.0.0.1:{port}") as running:
            wait_until(lambda: scrapes(running) >= SCRAPES, "Prometheus has scraped all of them")
            documents = [{"id": f"doc-{number}", "text": text} for number, text in enumerate(distinct_texts(40))]
            stack.client.ingest_and_wait(documents)
            numbers = itertools.count()
            wait_until(lambda: both_pools_answer(stack.client, f"query {next(numbers)}"), "calls of every kind")
            before = scrapes(running)
            wait_until(lambda: scrapes(running) >= before + SCRAPES, "Prometheus has scraped all of them again")
            yield Monitored(running, stack.client, canary)


def scrapes(prometheus: Prometheus) -> float:
    """Return the number of scrapes of the service with the fewest."""
    samples = prometheus.ask('count_over_time((up{job=~"tandem-.*"} == 1)[5m:500ms])')
    return min((float(sample["value"][1]) for sample in samples), default=0) if len(samples) == SERVICES else 0


def both_pools_answer(client: Client, query: str) -> bool:
    """Search; return whether both pools have answered calls, and the gateway has compared their vectors."""
    client.search(query)
    answered = (client.metric("tandem_gateway_pool_calls_total", {"pool": pool}) for pool in ("stable", "canary"))
    return min(answered) > 0 and client.metric("tandem_gateway_shadow_cosine_count") > 0


@pytest.mark.parametrize("panel", dashboard_queries())
def test_a_panel_shows_something(monitored: Monitored, panel: str) -> None:
    for query in dashboard_queries()[panel]:
        samples = monitored.prometheus.ask(query)
        assert samples or FAILED in query or used(query).keys() <= EMPTY, query


def test_no_alert_waits_or_fires_while_all_is_well(monitored: Monitored) -> None:
    assert monitored.prometheus.ask("ALERTS") == []


def test_the_replica_that_is_out_is_shown(monitored: Monitored) -> None:
    address = service_url(monitored.canary).removeprefix("http://")

    def left_out() -> list[str]:
        samples = monitored.panel("Embedders, as the gateway sees them")
        return [sample["metric"]["replica"] for sample in samples if sample["value"][1] == "0"]

    def ejected() -> list[str]:
        samples = monitored.panel("Ejections and second tries, by reason")
        rising = [sample["metric"] for sample in samples if float(sample["value"][1]) > 0]
        return [f"{metric['pool']} {metric['reason']}" for metric in rising]

    assert left_out() == []
    assert ejected() == []
    monitored.canary.kill()
    try:
        wait_until(lambda: left_out() == [address], "the canary is shown as left out")
        wait_until(lambda: monitored.panel("Embedders left out")[0]["value"][1] == "1", "it is counted")
        wait_until(lambda: "canary unavailable" in ejected(), "its ejection is shown")
    finally:
        monitored.canary.start().wait_ready()
    wait_until(lambda: left_out() == [], "the canary is shown to take part again")
