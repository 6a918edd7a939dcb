"""The command ``status``."""

from contextlib import suppress
from typing import Any

import msgspec

from tandem_cli.app import app
from tandem_cli.exposition import Samples, samples, total
from tandem_cli.failures import Unreachable
from tandem_cli.output import Cell, print_fields, print_json, print_table, size
from tandem_cli.session import Session, command
from tandem_client import Client
from tandem_client.errors import ApiError, TandemError
from tandem_contract.admin_api import Traffic

METRICS = {
    "gateways": "tandem_gateway_gateways",
    "pending_documents": "tandem_gateway_pending_documents",
    "queued_queries": "tandem_gateway_queued_queries",
    "in_flight_bytes": "tandem_gateway_in_flight_bytes",
    "damaged_rows": "tandem_gateway_damaged_rows",
}
"""Name in the output → metric, summed over its labels."""


@command(app, "status", "tandem status")
def status(session: Session) -> None:
    """Show how the gateway is: its embedders, its queues, and what waits for embedding.

    Parts that the API key may not see are left out. Exit status 4 if the gateway is not ready, or reports a fault.
    """
    with session.client() as client:
        told = gathered(client)
        url = client.settings.url
    if session.json:
        print_json(told)
    else:
        _print(url, told)
    if told["health"]["status"] not in ("ok", "degraded"):
        raise Unreachable(f"the gateway is {told['health']['status']}")


def gathered(client: Client) -> dict[str, Any]:
    """Return health, probe, queues and embedders; parts that the key may not see are None.

    Raises:
        TandemError: if the gateway does not answer.
    """
    health = msgspec.to_builtins(client.health())
    queues: dict[str, float | None] | None = None
    embedders: list[dict[str, Any]] | None = None
    with suppress(ApiError):
        found = samples(client.metrics())
        queues = {name: total(found, metric) for name, metric in METRICS.items()}
        embedders = measured_embedders(found)
    with suppress(ApiError):
        embedders = told_embedders(client.traffic())
    return {"ready": _ready(client), "health": health, "queues": queues, "embedders": embedders}


def told_embedders(traffic: Traffic) -> list[dict[str, Any]]:
    """Return the embedders of both pools, as the route for operators tells them."""
    pools = {"stable": traffic.stable, "canary": traffic.canary}
    return [
        {"pool": name, **msgspec.to_builtins(replica)}
        for name, pool in pools.items()
        if pool is not None
        for replica in pool.replicas
    ]


def measured_embedders(found: Samples) -> list[dict[str, Any]]:
    """Return the embedders that the metrics name; a metric does not tell their models or that one is draining."""
    calls = {
        (labels.get("pool"), labels.get("replica")): int(value)
        for labels, value in found.get("tandem_gateway_replica_calls_in_flight", [])
    }
    return [
        {
            "pool": labels.get("pool"),
            "address": labels.get("replica"),
            "status": "ejected" if ejected else "serving",
            "calls_in_flight": calls.get((labels.get("pool"), labels.get("replica"))),
            "fingerprint": None,
        }
        for labels, ejected in found.get("tandem_gateway_replica_ejected", [])
    ]


def _ready(client: Client) -> bool:
    try:
        client.with_options(retries=0).ready()
    except TandemError:
        return False
    return True


def _print(url: str, told: dict[str, Any]) -> None:
    health = told["health"]
    fields: list[tuple[str, Cell]] = [
        ("gateway", url),
        ("version", health["version"]),
        ("status", health["status"]),
        ("ready", told["ready"]),
        ("detail", health["detail"]),
        ("model", health["model"]),
        ("fingerprint", health["fingerprint"]),
        ("embedder answers", health["model_loaded"]),
        ("documents", health["document_count"]),
        ("waiting for embedding", health["pending_documents"]),
    ]
    queues = told["queues"] or {}
    for name, label in (
        ("gateways", "gateways"),
        ("queued_queries", "queued queries"),
        ("damaged_rows", "damaged rows"),
    ):
        value = queues.get(name)
        if value is not None:
            fields.append((label, int(value)))
    if queues.get("in_flight_bytes") is not None:
        fields.append(("requests in memory", size(int(queues["in_flight_bytes"]))))
    print_fields([(name, value) for name, value in fields if value is not None])
    if told["embedders"] is None:
        return
    names = ("pool", "address", "status", "calls_in_flight", "fingerprint")
    rows = [[embedder[name] for name in names] for embedder in told["embedders"]]
    print()
    print_table(("pool", "embedder", "state", "calls", "fingerprint"), rows, empty="no embedders")
