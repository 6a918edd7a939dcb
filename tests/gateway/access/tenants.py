"""A gateway with two tenants that share its collections."""

import http.client
import itertools
import json
from typing import Any, Final
from urllib.parse import quote

from tandem_gateway.access.document_filter import make_filter

PREFIX: Final = make_filter({"tenant": "a"}).namespace.names
FOREIGN: Final = make_filter({"tenant": "b"}).namespace.names
NAMES: Final = iter(f"c{number}" for number in itertools.count())

Request = tuple[str, str, Any]
"""Method, target and body; ``%c`` is the collection."""


class Tenants:
    """A gateway with a key for each of two tenants, one without a filter and one for operators."""

    def __init__(self, port: int, keys: dict[str, str]) -> None:
        self.port = port
        self.keys = keys

    def send(self, holder: str, request: Request, collection: str) -> tuple[int, str, Any]:
        """Return status, content type and body of a reply."""
        method, target, body = request
        headers = {"authorization": f"Bearer {self.keys[holder]}", "accept": "application/json, text/event-stream"}
        content: bytes | None = None
        if isinstance(body, str):
            content = body.replace("%c", collection).encode()
            headers |= {"content-type": "multipart/form-data; boundary=b", "x-filename": "a.txt"}
        elif body is not None:
            content = json.dumps(body).replace("%c", collection).encode()
            headers["content-type"] = "application/json"
            if isinstance(body, dict) and (key := body.get("idempotency-key")):
                headers["idempotency-key"] = key.replace("%c", collection)
                content = (
                    json.dumps({k: v for k, v in body.items() if k != "idempotency-key"})
                    .replace("%c", collection)
                    .encode()
                )
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, target.replace("%c", collection), content, headers)
            reply = connection.getresponse()
            text = reply.read().decode()
        finally:
            connection.close()
        kind = (reply.getheader("content-type") or "").partition(";")[0]
        return reply.status, kind, json.loads(text) if kind == "application/json" else text

    def settle(self, collection: str) -> None:
        """Wait until no document of a collection waits."""
        for _ in range(6000):
            status, _, told = self.send("writer", ("GET", "/v1/collections/%c", None), collection)
            assert status == 200, told
            if told["pending_documents"] == 0:
                return
        raise AssertionError("documents wait for ever")


def new_collection(tenants: Tenants) -> str:
    """Make a collection with one document that no tenant may see, so that its model is known."""
    name = next(NAMES)
    assert tenants.send("admin", ("PUT", "/v1/collections/%c", {}), name)[0] == 200
    seed = {"collection": "%c", "documents": [{"id": "seed", "text": "the seed"}]}
    assert tenants.send("writer", ("POST", "/v1/ingest", seed), name)[0] == 202
    tenants.settle(name)
    return name


def quoted(doc_id: str) -> str:
    return quote(doc_id, safe="")


def call(tool: str, arguments: dict[str, Any]) -> Request:
    return "POST", "/mcp", {
        "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": arguments},
    }  # fmt: skip


def follow(tenants: Tenants, holder: str, request: Request, collection: str) -> list[tuple[int, str, Any]]:
    """Send a request, and follow its pages."""
    replies = [tenants.send(holder, request, collection)]
    while isinstance(body := replies[-1][2], dict) and body.get("next_cursor"):
        target = f"{request[1]}&cursor={quoted(body['next_cursor'])}"
        replies.append(tenants.send(holder, (request[0], target, None), collection))
        assert len(replies) < 100
    return replies
