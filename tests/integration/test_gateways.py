"""What two gateways of a store have in common beside the documents: shares, keys, limits, ingests by key, presence."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.sharing import Gateways, gateways, shared_store
from tests.support.stack import Client, wait_until

TOKEN: Final = "correct-horse-battery"
TRAFFIC: Final = "/v1/admin/traffic"


@pytest.fixture
def url() -> Iterator[str]:
    with shared_store() as made:
        yield made


@pytest.fixture
def pair(tmp_path: Path, url: str) -> Iterator[Gateways]:
    environment = {"TANDEM_ADMIN_TOKEN": TOKEN, "TANDEM_CANARY_URL": "http://127.0.0.1:9"}
    with gateways(tmp_path, url, environment=environment) as made:
        yield made


def traffic(client: Client, change: dict[str, int] | None = None) -> tuple[int, int]:
    """Return the shares, after a change if there is one."""
    method = "GET" if change is None else "PUT"
    reply = client.http.request(method, TRAFFIC, headers={"authorization": f"Bearer {TOKEN}"}, json=change)
    assert reply.status_code == 200, reply.text
    return reply.json()["canary_weight"], reply.json()["shadow_percent"]


def test_what_gateways_have_in_common(pair: Gateways) -> None:
    (first, one), (_, two) = pair
    # The operators' shares reach every gateway, also one that starts later.
    assert traffic(one, {"canary_weight": 30, "shadow_percent": 7}) == (30, 7)
    wait_until(lambda: traffic(two) == (30, 7), "the shares at the other gateway")
    assert traffic(two, {"canary_weight": 0}) == (0, 7)
    wait_until(lambda: traffic(one) == (0, 7), "the shares at the first gateway")
    traffic(two, {"canary_weight": 4})
    # An ingest that is sent again to another gateway is done once.
    jobs = set()
    for client in (one, two, one):
        body = {"documents": [{"id": "a", "text": "a text"}]}
        reply = client.http.post("/v1/ingest", json=body, headers={"idempotency-key": "once"})
        jobs.add(reply.json()["job_id"])
    assert len(jobs) == 1
    # Each gateway counts both, and none that has stopped.
    for client in (one, two):
        wait_until(lambda client=client: client.metric("tandem_gateway_gateways") == 2, "two gateways")
    assert first.terminate() == 0
    wait_until(lambda: two.metric("tandem_gateway_gateways") == 1, "one gateway")
    first.start().wait_ready()
    wait_until(lambda: traffic(one) == (4, 7), "the shares after a start")


def keys(url: str, data_dir: Path, *arguments: str) -> str:
    made = subprocess.run(
        [sys.executable, "-m", "tandem_gateway", "keys", *arguments],
        env={**os.environ, "TANDEM_STORE_URL": url, "TANDEM_DATA_DIR": str(data_dir)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return made.stdout.strip()


def test_keys_and_their_limits_count_at_every_gateway(pair: Gateways, url: str, tmp_path: Path) -> None:
    (_, one), (_, two) = pair
    admin = {"authorization": f"Bearer {keys(url, tmp_path, 'create', '--name', 'boss', '--role', 'admin')}"}
    for client in (one, two):
        wait_until(lambda client=client: status(client, {}) == 401, "access control")
    asked = {"name": "app", "role": "search", "limits": ["requests=20/hour"]}
    made = one.http.post("/v1/admin/keys", json=asked, headers=admin)
    assert made.status_code in (200, 201), made.text
    app = {"authorization": f"Bearer {made.json()['key']}"}
    wait_until(lambda: status(two, app) == 200, "the new key at the other gateway")
    # What is used at one gateway soon counts at the other.
    while status(one, app) == 200:
        pass
    assert status(one, app) == 429
    wait_until(lambda: status(two, app) == 429, "the limit at the other gateway")
    # A key that is revoked at one gateway is refused by the other.
    revoked = one.http.delete(f"/v1/admin/keys/{made.json()['id']}", headers=admin)
    assert revoked.status_code == 200, revoked.text
    wait_until(lambda: status(two, app) == 401, "the end of the key at the other gateway")


def status(client: Client, headers: dict[str, Any]) -> int:
    asked = {"query": "a", "mode": "lexical"}
    return int(client.http.post("/v1/search", json=asked, headers=headers).status_code)
