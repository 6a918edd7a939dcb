"""Replicas behind a host name follow its addresses under load; they stay if the name no longer resolves."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.chaos.conftest import EMBEDDERS_NAME
from tests.support.faulty import FaultyEmbedder
from tests.support.ingesting import in_batches
from tests.support.namespaces import python_in, require_mounts
from tests.support.processes import ServiceProcess
from tests.support.searching import SearchLoad
from tests.support.stack import Client, gateway_process, service_url, wait_until
from tests.support.texts import distinct_texts

NAME = EMBEDDERS_NAME
ADDRESSES = ("127.0.0.1", "127.0.0.2", "127.0.0.3")


class Named:
    """Three embedders on one port, and a gateway whose own hosts file leads to some of them."""

    def __init__(self, client: Client, process: ServiceProcess, hosts: Path, embedders: list[FaultyEmbedder]) -> None:
        self.client = client
        self.process = process
        self.embedders = embedders
        self._hosts = hosts

    def lead_to(self, *numbers: int) -> None:
        # Write in place: the mount is bound to the file, not to its name.
        self._hosts.write_text("".join(f"{ADDRESSES[number]} {NAME}\n" for number in numbers))

    def replicas(self, state: str) -> float:
        return self.client.metric("tandem_gateway_embedder_replicas", {"pool": "stable", "state": state})

    def series(self, number: int) -> bool:
        return f'replica="{self.embedders[number].label}"' in self.client.http.get("/metrics").text


@pytest.fixture
def named(tmp_path: Path, embedder: ServiceProcess) -> Iterator[Named]:
    require_mounts()
    hosts = tmp_path / "hosts"
    with ExitStack() as stack:
        first = stack.enter_context(FaultyEmbedder(service_url(embedder), host=ADDRESSES[0]))
        others = [
            stack.enter_context(FaultyEmbedder(service_url(embedder), host=address, port=first.port))
            for address in ADDRESSES[1:]
        ]
        environment = {
            "TANDEM_RESOLVE_SECONDS": "0.1",
            "TANDEM_QUERY_CACHE_SIZE": "0",
            "TANDEM_BULK_TIMEOUT_SECONDS": "5",
        }
        process, client = gateway_process(tmp_path, tmp_path / "data", f"http://{NAME}:{first.port}", env=environment)
        process.command[0] = str(python_in(tmp_path, f"mount --bind {hosts} /etc/hosts"))
        stack.callback(client.close)
        found = Named(client, process, hosts, [first, *others])
        found.lead_to(0)
        stack.enter_context(process)
        client.ingest_and_wait([{"id": "x", "text": "a document"}])
        yield found


def test_replicas_are_added_and_removed_under_load_and_no_request_is_lost(named: Named) -> None:
    client = named.client
    (documents,) = in_batches(distinct_texts(400, seed=33), 400)
    with SearchLoad(client.url) as load:
        job = client.ingest(documents)
        load.go_on(10)
        for lead_to in ((0, 1), (0, 1, 2), (1, 2), (2,), (0, 2)):
            named.lead_to(*lead_to)
            wait_until(lambda: named.replicas("serving") == len(lead_to), f"{len(lead_to)} replicas")  # noqa: B023
            calls = [named.embedders[number].calls for number in lead_to]
            wait_until(
                lambda: all(named.embedders[n].calls > seen for n, seen in zip(lead_to, calls, strict=True)),  # noqa: B023
                "each of them is asked",
            )
            load.go_on(10)
        wait_until(lambda: named.replicas("draining") == 0, "those that left are done")
        assert [named.series(number) for number in range(3)] == [True, False, True]
        done = client.wait_job(job.job_id)
    assert load.failures == []
    assert (done.processed_documents, done.failed_documents) == (400, 0)


def test_without_dns_the_addresses_known_last_are_asked(named: Named) -> None:
    client = named.client
    with SearchLoad(client.url) as load:
        load.go_on(10)
        named.lead_to()
        wait_until(lambda: client.metric("tandem_gateway_embedder_name_failures_total") >= 3, "failed questions")
        load.go_on(20)
        assert client.health().status == "ok"
        named.lead_to(1)
        wait_until(lambda: named.embedders[1].calls > 0, "the new address is asked")
    assert load.failures == []
    warnings = [line for line in named.process.log_lines() if line["message"] == "a name cannot be resolved"]
    assert [(line["level"], line["host"], line["kept"]) for line in warnings] == [("warning", NAME, [ADDRESSES[0]])]


def test_a_gateway_starts_without_dns_and_finds_its_embedders_later(named: Named) -> None:
    client, process = named.client, named.process
    named.lead_to()
    assert process.terminate() == 0
    process.start().wait_ready()
    wait_until(lambda: client.metric("tandem_gateway_embedder_name_failures_total") >= 1, "failed questions")
    refused = client.http.post("/v1/search", json={"query": "anything", "mode": "dense"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "embedder_unavailable")
    assert NAME not in refused.json()["error"]["message"]  # clients do not learn it; the log has it
    wait_until(
        lambda: any(
            line["message"] == "a server could not be asked" and NAME in line["error"] for line in process.log_lines()
        ),
        "the reason in the log",
    )
    assert client.health().status == "degraded"
    named.lead_to(1, 2)
    wait_until(lambda: client.health().status == "ok", "a healthy gateway")
    assert client.found("a document", 1) == ["x"]
