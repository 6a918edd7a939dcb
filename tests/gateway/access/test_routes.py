"""Every route has a decision: without a key 401, with too small a role 403, for a foreign collection 403.

The table of cases must name every route of the gateway, so that nobody adds one without a decision.
"""

import asyncio
import http.client
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tandem_gateway.access.key_administration import KeyAdministration, NewKey
from tandem_gateway.access.principal import includes
from tandem_gateway.adapters.sqlite.key_store import SqliteKeyStore
from tandem_gateway.app import make_app
from tandem_gateway.http.authentication import OPEN_PATHS
from tandem_gateway.http.exact_paths import ExactPaths
from tandem_gateway.records.access import ROLES, Role
from tandem_gateway.settings import Settings
from tests.gateway.http.asking import LIMITS
from tests.support.fakes import eventually
from tests.support.http_embedder import HttpFakeEmbedder
from tests.support.openapi import described_app
from tests.support.serving import serving

BOOTSTRAP = "a-key-from-outside-of-32-characters"
FORM = (
    '--b\r\nContent-Disposition: form-data; name="collection"\r\n\r\n{collection}\r\n'
    '--b\r\nContent-Disposition: form-data; name="files"; filename="a.txt"\r\n\r\nwords\r\n--b--\r\n'
)


@dataclass(frozen=True)
class Case:
    """A valid request of a route.

    Attributes:
        role: the smallest role that may send it.
        target: path and query; ``{collection}`` and ``{job}`` are of the collection.
        body: the body with ``{collection}`` or ``%c``; None for no body.
        foreign: status for a collection that the key may not use; None if the request concerns no collection.
    """

    role: Role
    target: str
    body: Any = None
    foreign: int | None = 403


COLLECTION = "/v1/collections/{collection}"
REEMBED = f"{COLLECTION}/reembed"
QUERY = {"query": "words", "collection": "%c"}
CASES: dict[tuple[str, str], Case] = {
    ("POST", "/v1/search"): Case("search", "/v1/search", QUERY),
    ("POST", "/v1/search/batch"): Case(
        "search", "/v1/search/batch", {"searches": [{"query": "words", "collection": "mine-1"}, QUERY]}
    ),
    ("POST", "/v1/search/similar"): Case("search", "/v1/search/similar", {"document_id": "there", "collection": "%c"}),
    ("POST", "/rerank"): Case("search", "/rerank", {"query": "words", "texts": ["words"]}, None),
    ("POST", "/v1/rerank"): Case("search", "/v1/rerank", {"query": "words", "documents": ["words"]}, None),
    ("POST", "/v2/rerank"): Case("search", "/v2/rerank", {"query": "words", "documents": ["words"]}, None),
    ("POST", "/v1/embeddings"): Case("search", "/v1/embeddings", {"input": "words"}, foreign=None),
    ("POST", "/openai/deployments/{deployment}/embeddings"): Case(
        "search", "/openai/deployments/any/embeddings", {"input": "words"}, foreign=None
    ),
    ("GET", "/v1/models"): Case("search", "/v1/models", foreign=None),
    ("GET", "/v1/models/{model:path}"): Case("search", "/v1/models/a-model", foreign=None),
    ("POST", "/api/embed"): Case("search", "/api/embed", {"input": "words"}, foreign=None),
    ("POST", "/api/embeddings"): Case("search", "/api/embeddings", {"prompt": "words"}, foreign=None),
    ("GET", "/api/tags"): Case("search", "/api/tags", foreign=None),
    ("GET", "/api/version"): Case("search", "/api/version", foreign=None),
    ("POST", "/embed"): Case("search", "/embed", {"inputs": "words"}, foreign=None),
    ("GET", "/info"): Case("search", "/info", foreign=None),
    ("GET", "/health"): Case("search", "/health", foreign=None),
    ("POST", "/v1/ingest"): Case(
        "ingest", "/v1/ingest", {"documents": [{"id": "there", "text": "words"}], "collection": "%c"}
    ),
    ("POST", "/v1/ingest/files"): Case("ingest", "/v1/ingest/files", FORM),
    ("GET", "/v1/jobs"): Case("ingest", "/v1/jobs?collection={collection}"),
    ("GET", "/v1/jobs/{job_id}"): Case("ingest", "/v1/jobs/{job}", foreign=404),
    ("GET", "/v1/jobs/{job_id}/documents"): Case("ingest", "/v1/jobs/{job}/documents", foreign=404),
    ("GET", "/v1/jobs/{job_id}/events"): Case("ingest", "/v1/jobs/{job}/events", foreign=404),
    ("POST", "/v1/jobs/{job_id}/cancel"): Case("ingest", "/v1/jobs/{job}/cancel", foreign=404),
    ("POST", "/v1/jobs/{job_id}/retry"): Case("ingest", "/v1/jobs/{job}/retry", foreign=404),
    ("GET", "/v1/collections"): Case("search", "/v1/collections", foreign=None),
    ("GET", "/v1/collections/{collection}"): Case("search", COLLECTION),
    ("PUT", "/v1/collections/{collection}"): Case("admin", COLLECTION, {}),
    ("DELETE", "/v1/collections/{collection}"): Case("admin", COLLECTION),
    ("GET", "/v1/collections/{collection}/documents"): Case("search", f"{COLLECTION}/documents"),
    ("DELETE", "/v1/collections/{collection}/documents"): Case("ingest", f"{COLLECTION}/documents?id=there"),
    ("POST", "/v1/collections/{collection}/documents/get"): Case(
        "search", f"{COLLECTION}/documents/get", {"ids": ["there"]}
    ),
    ("POST", "/v1/collections/{collection}/documents/delete"): Case(
        "ingest", f"{COLLECTION}/documents/delete", {"ids": ["there"]}
    ),
    ("POST", "/v1/collections/{collection}/facets"): Case("search", f"{COLLECTION}/facets", {"fields": ["page"]}),
    ("GET", "/v1/collections/{collection}/documents/{document_id:path}"): Case(
        "search", f"{COLLECTION}/documents/there"
    ),
    ("DELETE", "/v1/collections/{collection}/documents/{document_id:path}"): Case(
        "ingest", f"{COLLECTION}/documents/there"
    ),
    ("PATCH", "/v1/collections/{collection}/documents/{document_id:path}"): Case(
        "ingest", f"{COLLECTION}/documents/there", {"metadata": {"page": 1}}
    ),
    ("PUT", "/v1/collections/{collection}/sources/{source}"): Case(
        "ingest", f"{COLLECTION}/sources/shelf", {"documents": []}
    ),
    ("POST", "/v1/collections/{collection}/reembed"): Case("admin", REEMBED),
    ("GET", "/v1/collections/{collection}/reembed"): Case("admin", REEMBED),
    ("DELETE", "/v1/collections/{collection}/reembed"): Case("admin", REEMBED),
    ("POST", "/v1/collections/{collection}/reembed/switch"): Case("admin", f"{REEMBED}/switch"),
    ("POST", "/v1/collections/{collection}/reembed/rollback"): Case("admin", f"{REEMBED}/rollback"),
    ("GET", "/v1/collections/{collection}/reembed/overlap"): Case("admin", f"{REEMBED}/overlap"),
    ("POST", "/v1/collections/{collection}/web-search"): Case(
        "search", f"{COLLECTION}/web-search", {"query": "words", "count": 3}
    ),
    ("PUT", "/process"): Case("ingest", "/process", "words", foreign=None),
    ("GET", "/v1/admin/traffic"): Case("admin", "/v1/admin/traffic"),
    ("PUT", "/v1/admin/traffic"): Case("admin", "/v1/admin/traffic", {"canary_weight": 0}),
    ("GET", "/v1/admin/keys"): Case("admin", "/v1/admin/keys"),
    ("GET", "/v1/admin/usage"): Case("admin", "/v1/admin/usage"),
    ("POST", "/v1/admin/keys"): Case("admin", "/v1/admin/keys", {"name": "another", "role": "search"}),
    ("DELETE", "/v1/admin/keys/{key_id}"): Case("admin", "/v1/admin/keys/0123456789ab"),
    ("POST", "/v1/admin/keys/{key_id}/rotate"): Case("admin", "/v1/admin/keys/0123456789ab/rotate"),
}
IDS = [f"{method} {template}" for method, template in CASES]


def routed() -> set[tuple[str, str]]:
    return {(method, route.template) for route in ExactPaths(described_app(LIMITS).routes) for method in route.methods}


def test_every_route_is_open_or_has_a_case():
    assert {template for _, template in routed()} >= OPEN_PATHS
    assert {(method, template) for method, template in routed() if template not in OPEN_PATHS} == CASES.keys()


class Asked:
    """A gateway with keys of every role, for every collection and for ``mine-*``; it has two collections."""

    def __init__(self, port: int, keys: dict[tuple[Role, str], str]) -> None:
        self.port = port
        self.keys = keys
        self.jobs: dict[str, str] = {}
        self.request_id: str | None = None
        """Id of the next requests; None lets the gateway choose."""

    async def send(
        self, case: Case, method: str, collection: str, key: str | None, header: str = "authorization"
    ) -> tuple[int, dict[str, str], Any]:
        return await asyncio.to_thread(self._send, case, method, collection, key, header)

    def _send(
        self, case: Case, method: str, collection: str, key: str | None, header: str
    ) -> tuple[int, dict[str, str], Any]:
        headers = {} if self.request_id is None else {"x-request-id": self.request_id}
        if key is not None:
            headers[header] = f"Bearer {key}" if header == "authorization" else key
        body: bytes | None = None
        if isinstance(case.body, str):
            body = case.body.format(collection=collection).encode()
            headers |= {"content-type": "multipart/form-data; boundary=b", "x-filename": "a.txt"}
        elif case.body is not None:
            body = json.dumps(case.body).replace("%c", collection).encode()
            headers["content-type"] = "application/json"
        target = case.target.format(collection=collection, job=self.jobs.get(collection, f"job_{'0' * 32}"))
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, target, body, headers)
            reply = connection.getresponse()
            content = reply.read()
        finally:
            connection.close()
        told = {name.lower(): value for name, value in reply.getheaders()}
        shown = json.loads(content) if told.get("content-type") == "application/json" else content
        return reply.status, told, shown


@asynccontextmanager
async def gateway(data_dir: Path, **options: object) -> AsyncIterator[Asked]:
    store = SqliteKeyStore(data_dir)
    keys = {
        (role, globs): KeyAdministration(store).create(NewKey(f"{role} {globs}", role, globs.split(",")))[1]
        for role in ROLES
        for globs in ("*", "mine-*")
    }
    store.close()
    with HttpFakeEmbedder() as embedder:
        settings = Settings(data_dir=data_dir, embedder_url=embedder.url, access_log=False, **options)
        app, running = make_app(settings, lambda: None)
        async with serving(app, lifespan=True) as port:
            asked = Asked(port, keys)
            await eventually(running.health, lambda health: health.status == "ok")
            for collection in ("mine-1", "foreign"):
                status, _, job = await asked.send(CASES["POST", "/v1/ingest"], "POST", collection, keys["ingest", "*"])
                assert status == 202, job
                asked.jobs[collection] = job["job_id"]
            await eventually(running.health, lambda health: health.pending is None or health.pending == 0)
            yield asked


@pytest.fixture
async def asked(tmp_path: Path) -> AsyncIterator[Asked]:
    async with gateway(tmp_path) as started:
        yield started


def error_of(reply: tuple[int, dict[str, str], Any]) -> tuple[int, str, str]:
    status, _, body = reply
    if "error" not in body:  # Cohere's shape
        return status, body["code"], body["param"]
    if isinstance(body["error"], str):  # of a compatible route, whose errors have a message only
        return status, {401: "unauthorized", 403: "forbidden"}[status], body["error"].partition(":")[0]
    return status, body["error"]["code"], body["error"]["param"]


def message_of(reply: tuple[int, dict[str, str], Any]) -> str:
    error = reply[2].get("error", reply[2].get("message"))
    return str(error if isinstance(error, str) else error["message"])


async def test_without_a_valid_key_every_route_answers_401(asked: Asked):
    for (method, template), case in CASES.items():
        for key in (None, "", "wrong", asked.keys["admin", "*"][:-1]):
            reply = await asked.send(case, method, "mine-1", key)
            assert error_of(reply) == (401, "unauthorized", "authorization"), (method, template, key)
            assert reply[1]["www-authenticate"] == "Bearer"
            assert "key" in message_of(reply)
            assert f"'{case.role}'" in message_of(reply), (method, template, message_of(reply))


async def test_with_too_small_a_role_every_route_answers_403_and_names_the_role(asked: Asked):
    for (method, template), case in CASES.items():
        for role in ROLES:
            if not includes(role, case.role):
                reply = await asked.send(case, method, "mine-1", asked.keys[role, "*"])
                assert error_of(reply) == (403, "forbidden", "authorization"), (method, template, role)
                assert f"the role '{case.role}' is needed" in message_of(reply)


async def test_a_foreign_collection_is_refused_whether_it_exists_or_not(asked: Asked):
    for (method, template), case in CASES.items():
        if case.foreign is None:
            continue
        replies = [
            await asked.send(case, method, collection, asked.keys["admin", "mine-*"])
            for collection in ("foreign", "absent")
        ]
        told = [
            json.dumps(body)
            .replace(asked.jobs["foreign"], "ID")
            .replace(f"job_{'0' * 32}", "ID")
            .replace("foreign", "absent")
            for _, _, body in replies
        ]
        assert [status for status, _, _ in replies] == [case.foreign] * 2, (method, template, replies)
        assert told[0] == told[1]


async def test_with_the_role_and_the_collection_every_route_answers_as_without_access_control(asked: Asked):
    for (method, template), case in CASES.items():
        globs = "*" if template.startswith("/v1/admin/") else "mine-*"
        status, _, body = await asked.send(case, method, "mine-1", asked.keys[case.role, globs])
        assert status not in (401, 403, 500), (method, template, body)


async def test_only_the_callers_collections_are_listed(asked: Asked):
    case = CASES["GET", "/v1/collections"]
    for globs, expected in {"*": ["default", "foreign", "mine-1"], "mine-*": ["mine-1"]}.items():
        status, _, body = await asked.send(case, "GET", "", asked.keys["search", globs])
        assert (status, [each["name"] for each in body["collections"]]) == (200, expected)


async def test_jobs_of_some_collections_are_listed_by_the_name_of_one(asked: Asked):
    case = Case("ingest", "/v1/jobs")
    everything = await asked.send(case, "GET", "", asked.keys["ingest", "*"])
    assert {job["collection"] for job in everything[2]["jobs"]} == {"foreign", "mine-1"}
    refused = await asked.send(case, "GET", "", asked.keys["ingest", "mine-*"])
    assert error_of(refused) == (403, "forbidden", "collection")


@pytest.mark.parametrize("header", ["authorization", "Api-Key", "X-API-Key"])
async def test_a_key_comes_in_one_of_three_headers(asked: Asked, header: str):
    case = CASES["POST", "/v1/search"]
    status, _, _ = await asked.send(case, "POST", "mine-1", asked.keys["search", "mine-*"], header)
    assert status == 200


async def test_the_open_paths_need_no_key_and_tell_no_counts(asked: Asked):
    for path in sorted(OPEN_PATHS):
        for key in (None, "wrong"):
            status, _, _ = await asked.send(Case("search", path), "GET", "", key)
            assert status == 200, path
    health = Case("search", "/healthz")
    for key in (None, "wrong", asked.keys["admin", "mine-*"]):
        _, _, body = await asked.send(health, "GET", "", key)
        assert (body["status"], body["document_count"], body["pending_documents"]) == ("ok", None, None)
    _, _, body = await asked.send(health, "GET", "", asked.keys["search", "*"])
    assert body["document_count"] + body["pending_documents"] == 2


async def test_an_unknown_path_is_not_told_without_a_key(asked: Asked):
    case = Case("search", "/v1/nothing")
    assert (await asked.send(case, "GET", "", None))[0] == 401
    assert (await asked.send(case, "GET", "", asked.keys["search", "*"]))[0] == 404


@pytest.mark.parametrize("path", ["/metrics", "/metrics/"])
async def test_metrics_need_a_key_for_everything_if_a_setting_says_so(tmp_path: Path, path: str):
    async with gateway(tmp_path, metrics_key=True) as asked:
        case = Case("search", path)
        assert (await asked.send(case, "GET", "", None))[0] == 401
        refused = await asked.send(case, "GET", "", asked.keys["admin", "mine-*"])
        assert error_of(refused) == (403, "forbidden", "authorization")
        assert (await asked.send(case, "GET", "", asked.keys["search", "*"]))[0] == 200


async def test_a_slash_more_opens_no_route(asked: Asked):
    for (method, template), case in CASES.items():
        path, mark, query = case.target.partition("?")
        slashed = Case(case.role, f"{path}/{mark}{query}", case.body)
        assert (await asked.send(slashed, method, "mine-1", None))[0] in (401, 404), template
        if method == "POST" and template == "/v1/search":
            assert (await asked.send(slashed, method, "foreign", asked.keys["admin", "mine-*"]))[0] == 403


async def test_the_operators_token_opens_the_traffic_alone(tmp_path: Path):
    token = "correct-horse-battery"
    async with gateway(tmp_path, admin_token=token, api_key=BOOTSTRAP) as asked:
        for (method, template), case in CASES.items():
            status, _, _ = await asked.send(case, method, "mine-1", token)
            assert (status == 200) == (template == "/v1/admin/traffic"), template
        assert (await asked.send(CASES["GET", "/v1/admin/keys"], "GET", "", BOOTSTRAP))[0] == 200


async def test_a_key_made_over_http_works_at_once_until_it_is_rotated_and_revoked(asked: Asked):
    admin = asked.keys["admin", "*"]
    wanted = {"name": "shop", "role": "search", "collections": ["mine-*"], "expires_in_seconds": 3600}
    status, _, made = await asked.send(Case("admin", "/v1/admin/keys", wanted), "POST", "", admin)
    assert status == 201
    assert (made["name"], made["role"], made["collections"]) == ("shop", "search", ["mine-*"])
    search = CASES["POST", "/v1/search"]

    async def works(key: str) -> bool:
        return (await asked.send(search, "POST", "mine-1", key))[0] == 200

    assert await works(made["key"])
    path = f"/v1/admin/keys/{made['id']}"
    _, _, rotated = await asked.send(Case("admin", f"{path}/rotate?grace_seconds=60"), "POST", "", admin)
    assert await works(made["key"])
    assert await works(rotated["key"])
    _, _, listed = await asked.send(Case("admin", "/v1/admin/keys"), "GET", "", admin)
    (shown,) = [key for key in listed["keys"] if key["id"] == made["id"]]
    assert shown["last_used_at"] is not None
    assert "key" not in shown
    status, _, revoked = await asked.send(Case("admin", path), "DELETE", "", admin)
    assert (status, revoked["revoked_at"] is None) == (200, False)
    assert not await works(made["key"])
    assert not await works(rotated["key"])
    assert (await asked.send(Case("admin", f"{path}/rotate"), "POST", "", admin))[0] == 404


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"name": "", "role": "search"}, "name"),
        ({"name": "a", "role": "root"}, "role"),
        ({"name": "a", "role": "search", "collections": []}, "collections"),
        ({"name": "a", "role": "search", "collections": ["/"]}, "collections[0]"),
        ({"name": "a", "role": "search", "expires_in_seconds": 0}, "expires_in_seconds"),
        ({"name": "a", "role": "search", "filter": {}}, "filter"),
        ({"name": "a", "role": "admin", "filter": {"tenant": "a"}}, "role"),
        ({"name": "a", "role": "search", "more": 1}, "more"),
        ({"role": "search"}, "name"),
    ],
)
async def test_a_key_that_is_not_valid_is_refused_over_http(asked: Asked, body: Any, param: str):
    reply = await asked.send(Case("admin", "/v1/admin/keys", body), "POST", "", asked.keys["admin", "*"])
    assert (reply[0], reply[2]["error"]["param"]) == (422, param)


async def test_without_access_control_keys_are_not_made_over_http(tmp_path: Path):
    app, running = make_app(Settings(data_dir=tmp_path, embedder_url="http://127.0.0.1:9"), lambda: None)
    async with serving(app, lifespan=True) as port:
        await eventually(running.health, lambda health: health.status == "degraded")
        reply = await Asked(port, {}).send(CASES["POST", "/v1/admin/keys"], "POST", "", None)
        assert reply[0] == 404
        assert "keys create" in message_of(reply)
        assert not (tmp_path / "access.db").exists()
