"""A gateway that takes tokens: its replies, its routes, its metrics and its log."""

import asyncio
import http.client
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tandem_gateway.access.key_administration import KeyAdministration, NewKey
from tandem_gateway.adapters.sqlite.key_store import SqliteKeyStore
from tandem_gateway.app import make_app
from tandem_gateway.settings import Settings
from tests.support.fakes import eventually
from tests.support.http_embedder import HttpFakeEmbedder
from tests.support.issuing import AUDIENCE, ISSUER, SECRET, JwksServer, jwk, key_set, private_key, token
from tests.support.serving import serving

FIRST = key_set(jwk(private_key("RS256"), "first"))
SECOND = key_set(jwk(private_key("RS256", 1), "second"))
SEARCH = {"query": "words", "collection": "mine-1"}
TRAFFIC = "/v1/admin/traffic"
OPERATOR = "correct-horse-battery"


class Asked:
    """A gateway with one API key of the role ``admin``, ``key``."""

    def __init__(self, port: int, key: str) -> None:
        self.port = port
        self.key = key

    async def send(
        self,
        shown: bytes | str | Sequence[bytes | str] | None,
        target: str = "/v1/search",
        body: Any = None,
        method: str | None = None,
        header: str = "Authorization",
    ) -> tuple[int, Mapping[str, str], Any]:
        """Send a request with one bearer token or several; the default is a search."""
        several = [shown] if isinstance(shown, bytes | str) else list(shown or ())
        return await asyncio.to_thread(self._send, several, target, body, method, header)

    def _send(
        self, several: Sequence[bytes | str], target: str, body: Any, method: str | None, header: str
    ) -> tuple[int, Mapping[str, str], Any]:
        if target == "/v1/search" and body is None:
            body = SEARCH
        content = None if body is None else json.dumps(body).encode()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.putrequest(method or ("GET" if content is None else "POST"), target)
            for each in several:
                text = each if isinstance(each, bytes) else each.encode()
                connection.putheader(header, b"Bearer " + text if header == "Authorization" else text)
            if content is not None:
                connection.putheader("content-type", "application/json")
                connection.putheader("content-length", str(len(content)))
            connection.endheaders(content)
            reply = connection.getresponse()
            told = reply.read()
        finally:
            connection.close()
        headers = {name.lower(): value for name, value in reply.getheaders()}
        return reply.status, headers, json.loads(told) if headers.get("content-type") == "application/json" else told

    async def status(self, shown: bytes | str, **options: Any) -> int:
        return (await self.send(shown, **options))[0]

    async def metric(self, line: str) -> float | None:
        """Return the value of a series; None without it."""
        _, _, text = await self.send(None, "/metrics")
        values = [each.rpartition(" ")[2] for each in text.decode().splitlines() if each.startswith(f"{line} ")]
        return float(values[0]) if values else None


@asynccontextmanager
async def gateway(data_dir: Path, **options: object) -> AsyncIterator[Asked]:
    store = SqliteKeyStore(data_dir)
    _, key = KeyAdministration(store).create(NewKey("admin", "admin"))
    store.close()
    with HttpFakeEmbedder() as embedder:
        settings = Settings(
            data_dir=data_dir,
            embedder_url=embedder.url,
            access_log=False,
            admin_token=OPERATOR,
            jwt_issuer=ISSUER,
            jwt_audience=(AUDIENCE,),
            **options,
        )
        app, running = make_app(settings, lambda: None)
        async with serving(app, lifespan=True) as port:
            asked = Asked(port, key)
            await eventually(running.health, lambda health: health.status == "ok")
            body = {"documents": [{"id": "there", "text": "words"}], "collection": "mine-1"}
            assert await asked.status(key, target="/v1/ingest", body=body) == 202
            await eventually(lambda: asked.send(key, "/healthz"), lambda reply: reply[2]["pending_documents"] == 0)
            yield asked


@pytest.fixture
async def asked(tmp_path: Path) -> AsyncIterator[Asked]:
    async with gateway(tmp_path, jwt_secret=SECRET) as started:
        yield started


def secret_token(**changed: Any) -> bytes:
    return token("HS256", kid=None, **changed)


async def test_a_token_and_an_api_key_work_beside_each_other(asked: Asked):
    for shown in (secret_token(), asked.key):
        status, _, body = await asked.send(shown)
        assert (status, body["results"][0]["id"]) == (200, "there")


async def test_a_token_has_its_role_and_its_collections(asked: Asked):
    narrow = secret_token(tandem_collections=["other-*"])
    status, _, body = await asked.send(narrow)
    assert (status, body["error"]["param"]) == (403, "collection")
    _, _, body = await asked.send(narrow, "/v1/collections")
    assert body["collections"] == []
    new = {"documents": [{"text": "words"}], "collection": "mine-1"}
    assert await asked.status(secret_token(), target="/v1/ingest", body=new) == 403
    assert await asked.status(secret_token(tandem_role="ingest"), target="/v1/ingest", body=new) == 202
    admin = secret_token(tandem_role="admin")
    assert await asked.status(admin, target="/v1/admin/keys") == 200
    assert await asked.status(secret_token(tandem_role="admin", tandem_collections="a"), target="/v1/admin/keys") == 403
    status, _, made = await asked.send(admin, "/v1/admin/keys", {"name": "by a token", "role": "search"})
    assert status == 201
    assert await asked.status(made["key"]) == 200


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"exp": 1}, "the token has expired"),
        ({"nbf": 2**40}, "the token is not valid yet"),
        ({"aud": "other"}, "the token is for another audience"),
        ({"iss": "other"}, "the token is not valid"),
        ({"sub": None}, "the token is not valid"),
        ({"exp": None}, "the token is not valid"),
        ({"padding": "x" * 9000}, "the token is too large"),
    ],
)
async def test_a_refusal_says_what_is_wrong_in_general_terms(asked: Asked, changed: dict[str, Any], told: str):
    status, headers, body = await asked.send(secret_token(**changed))
    assert (status, body["error"]["code"], body["error"]["param"]) == (401, "unauthorized", "authorization")
    assert body["error"]["message"] == f"authorization: {told}"
    assert headers["www-authenticate"] == f'Bearer error="invalid_token", error_description="{told}"'


async def test_a_forged_token_does_not_learn_its_faults(asked: Asked):
    """Only a token with a right signature is told that it has expired."""
    head, payload, _ = secret_token(exp=1).split(b".")
    for forged in (head + b"." + payload + b".AAAA", b"a.b.c", b"..", token("RS256")):
        _, headers, body = await asked.send(forged)
        assert body["error"]["message"] == "authorization: the token is not valid"
        assert "expired" not in headers["www-authenticate"]


async def test_a_valid_token_that_allows_nothing_gets_403_with_the_claim(asked: Asked):
    for changed in (
        {"tandem_role": "root"},
        {"tandem_role": None},
        {"tandem_collections": None},
        {"tandem_collections": "a/b"},
        {"tandem_filter": {"tenant": "secret-tenant"}},
    ):
        status, _, body = await asked.send(secret_token(**changed))
        assert (status, body["error"]["code"]) == (403, "forbidden")
        assert next(iter(changed)) in body["error"]["message"]
        assert "secret-tenant" not in body["error"]["message"]


async def test_the_compatible_routes_take_tokens_and_answer_in_their_shapes(asked: Asked):
    body = {"input": "words"}
    assert await asked.status(secret_token(), target="/v1/embeddings", body=body) == 200
    status, headers, reply = await asked.send(secret_token(exp=1), "/v1/embeddings", body)
    assert (status, reply["error"]["message"]) == (401, "authorization: the token has expired")
    assert "invalid_token" in headers["www-authenticate"]
    assert await asked.status(secret_token(exp=1), target="/api/embed", body=body) == 401


async def test_a_token_comes_as_a_bearer_token_only(asked: Asked):
    for header in ("api-key", "x-api-key"):
        status, headers, _ = await asked.send(secret_token(), header=header)
        assert (status, headers["www-authenticate"]) == (401, "Bearer")


async def test_several_bearer_tokens_are_refused(asked: Asked):
    good = secret_token()
    for several in ([good, secret_token(sub="other")], [good, asked.key], [asked.key, "wrong"], [b"a.b.c", good]):
        status, _, body = await asked.send(several)
        assert (status, "several" in body["error"]["message"]) == (401, True)
    assert await asked.status(good) == 200
    assert (await asked.send([good, good]))[0] == 200


async def test_the_open_paths_answer_whatever_the_token_is(asked: Asked):
    for shown in (secret_token(exp=1), secret_token(tandem_role="root"), b"a.b.c"):
        for target in ("/healthz", "/metrics", "/openapi.json"):
            assert await asked.status(shown, target=target) == 200
        _, _, body = await asked.send(shown, "/healthz")
        assert body["document_count"] is None
    _, _, body = await asked.send(secret_token(), "/healthz")
    assert body["document_count"] == 1


async def test_the_operators_token_still_opens_the_traffic(asked: Asked):
    assert await asked.status(OPERATOR, target=TRAFFIC) == 200
    assert await asked.status(secret_token(tandem_role="admin"), target=TRAFFIC) == 200
    for shown in (secret_token(), secret_token(exp=1), b"a.b.c"):
        assert await asked.status(shown, target=TRAFFIC) in (401, 403)
        assert await asked.status(shown, target="/v1/admin/keys") in (401, 403)


async def test_refusals_are_counted_and_logged_by_reason_and_show_no_secret(
    asked: Asked, caplog: pytest.LogCaptureFixture
):
    shown = [secret_token(exp=1), secret_token(tandem_role="root"), b"a.b.c", token("RS256"), b"no-such-key"]
    for _ in range(3):
        for each in shown:
            assert await asked.status(each) in (401, 403)
        assert (await asked.send(None))[0] == 401
    for reason in ("expired", "role", "malformed", "algorithm", "api_key", "missing"):
        line = f'tandem_gateway_authentication_refused_total{{reason="{reason}"}}'
        assert await asked.metric(line) == 3, reason
    lines = [record for record in caplog.records if "requests refused" in record.message]
    assert sorted(getattr(record, "reason", "") for record in lines) == [
        "algorithm", "api_key", "expired", "malformed", "missing", "role",
    ]  # fmt: skip
    told = "\n".join(str(record.__dict__) for record in caplog.records) + str((await asked.send(None, "/metrics"))[2])
    for each in (*shown[:2], shown[3], SECRET.encode(), shown[4]):
        assert each.decode() not in told


async def test_keys_rotate_without_a_restart(tmp_path: Path):
    with JwksServer(FIRST) as server:
        async with gateway(tmp_path, jwt_jwks=server.url, jwt_jwks_interval=0.001) as asked:
            assert await asked.status(token()) == 200
            new = token(number=1, kid="second")
            assert await asked.status(new) == 401
            server.content = SECOND
            assert await asked.status(new) == 200
            assert await asked.status(token()) == 401  # it was kept, and its key is withdrawn
            assert await asked.metric(f'tandem_gateway_jwks_keys{{issuer="{ISSUER}"}}') == 1
            refused = 'tandem_gateway_authentication_refused_total{reason="unknown_key"}'
            assert await asked.metric(refused) == 2


async def test_keys_in_a_file_rotate_without_a_restart(tmp_path: Path):
    file = tmp_path / "jwks.json"
    file.write_bytes(FIRST)
    async with gateway(tmp_path / "data", jwt_jwks=str(file), jwt_jwks_interval=0.001) as asked:
        assert await asked.status(token()) == 200
        file.write_bytes(SECOND)
        assert await asked.status(token(number=1, kid="second")) == 200
        assert await asked.status(token()) == 401


async def test_an_issuer_that_fails_opens_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    with JwksServer(FIRST) as server:
        server.status = 503
        async with gateway(tmp_path, jwt_jwks=server.url, jwt_jwks_interval=0.001) as asked:
            assert await asked.status(token()) == 401
            assert "no key counts: every JWT is refused" in caplog.text
            assert await asked.metric(f'tandem_gateway_jwks_keys{{issuer="{ISSUER}"}}') == 0
            assert await asked.status(asked.key) == 200  # API keys work
            server.status = 200
            assert await asked.status(token()) == 200
            server.status = 503
            assert await asked.status(token(number=1, kid="second")) == 401
            assert await asked.status(token(sub="other")) == 200
            assert (await asked.metric('tandem_gateway_jwks_fetches_total{result="failed"}') or 0) >= 2


async def test_many_tokens_with_unknown_keys_make_one_fetch_and_hold_nobody_else(tmp_path: Path):
    with JwksServer(FIRST) as server:
        async with gateway(tmp_path, jwt_jwks=server.url, jwt_jwks_interval=3600.0, jwt_jwks_max_age=86400.0) as asked:
            await eventually_fetched(asked)
            before = server.fetches
            statuses = await asyncio.gather(*(asked.status(token(kid=f"unknown-{number}")) for number in range(20)))
            assert (set(statuses), server.fetches) == ({401}, before)
        async with gateway(tmp_path, jwt_jwks=server.url, jwt_jwks_interval=0.001, jwt_jwks_timeout=60.0) as asked:
            await eventually_fetched(asked)
            server.hang()
            before = server.fetches
            waiting = [asyncio.create_task(asked.status(token(kid=f"unknown-{number}"))) for number in range(3)]
            await asyncio.to_thread(server.asked.wait, 20)
            assert await asked.status(token()) == 200  # a known key waits for nothing
            assert await asked.status(asked.key) == 200
            assert server.fetches == before + 1
            server.release()
            assert set(await asyncio.gather(*waiting)) == {401}


async def eventually_fetched(asked: Asked) -> None:
    await eventually(lambda: asked.metric(f'tandem_gateway_jwks_keys{{issuer="{ISSUER}"}}'), bool)
