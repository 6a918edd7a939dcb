"""The dashboard's queries, put to a real Prometheus that scrapes real services."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.deploy.manifests import DEPLOY
from tests.deploy.test_monitoring import dashboard_queries
from tests.support.processes import free_port, get
from tests.support.stack import Stack, wait_until
from tests.support.texts import distinct_texts
from tests.support.tools import tool

SCRAPES = 3

# Where all is well these show nothing.
EMPTY = {"Refused and failed", "Pauses of the embedding, by reason", "Snapshots of the index"}


class Prometheus:
    """A running Prometheus."""

    def __init__(self, url: str) -> None:
        self.http = httpx.Client(base_url=url, trust_env=False)

    def ask(self, query: str) -> list[dict[str, Any]]:
        """Return the samples of a query as of now."""
        reply = self.http.get("/api/v1/query", params={"query": query})
        assert reply.status_code == 200, (query, reply.text)
        result: list[dict[str, Any]] = reply.json()["data"]["result"]
        return result


@pytest.fixture(scope="module")
def prometheus(model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    program = tool("prometheus")
    folder = tmp_path_factory.mktemp("prometheus")
    configuration = yaml.safe_load((DEPLOY / "monitoring" / "prometheus.yml").read_text())
    with Stack(folder, model_dir) as stack:
        targets = {"tandem-gateway": stack.client.url, "tandem-embedder": stack.embedder_url}
        for job in configuration["scrape_configs"]:
            del job["dns_sd_configs"]
            job["static_configs"] = [{"targets": [targets[job["job_name"]].removeprefix("http://")]}]
        configuration["global"] |= {
            "scrape_interval": "500ms",
            "scrape_timeout": "500ms",
            "evaluation_interval": "500ms",
        }
        (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration))
        (folder / "alerts.yml").write_text((DEPLOY / "monitoring" / "alerts.yml").read_text())
        port = free_port()
        with (folder / "prometheus.log").open("wb") as log:
            process = subprocess.Popen(
                [
                    program,
                    f"--config.file={folder / 'prometheus.yml'}",
                    f"--storage.tsdb.path={folder / 'tsdb'}",
                    f"--web.listen-address=127.0.0.1:{port}",
                ],
                stdout=log,
                stderr=log,
            )
        running = Prometheus(f"http://127.0.0.1:{port}")
        try:
            wait_until(lambda: get(f"{running.http.base_url}/-/ready")[0] == 200, "Prometheus is ready")
            wait_until(lambda: scrapes(running) >= SCRAPES, "Prometheus has scraped both services")
            documents = [{"id": f"doc-{number}", "text": text} for number, text in enumerate(distinct_texts(40))]
            stack.client.ingest_and_wait(documents)
            stack.client.search("something")
            before = scrapes(running)
            wait_until(lambda: scrapes(running) >= before + SCRAPES, "Prometheus has scraped both services again")
            yield running
        finally:
            running.http.close()
            process.kill()
            process.wait()


def scrapes(prometheus: Prometheus) -> float:
    """Return how often the service scraped least was scraped."""
    samples = prometheus.ask('count_over_time((up{job=~"tandem-.*"} == 1)[5m:500ms])')
    return min((float(sample["value"][1]) for sample in samples), default=0) if len(samples) == 2 else 0


@pytest.mark.parametrize("panel", dashboard_queries())
def test_a_panel_shows_something(prometheus: Prometheus, panel: str) -> None:
    for query in dashboard_queries()[panel]:
        samples = prometheus.ask(query)
        assert samples or panel in EMPTY, query


def test_no_alert_waits_or_fires_while_all_is_well(prometheus: Prometheus) -> None:
    assert prometheus.ask("ALERTS") == []
