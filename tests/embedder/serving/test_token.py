"""An embedder that demands a token: who is served, and what others learn."""

import pytest

from tandem_embedder.app import make_app
from tandem_embedder.settings import Settings
from tandem_runtime.settings import SettingsError, read
from tandem_runtime.tokens import Tokens
from tests.embedder.serving.test_app import AppFixture, serving

OLD, NEW = "the-old-token-of-the-test", "the-new-token-of-the-test"
BODY = {"texts": ["a"]}


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


async def demanding(fixture: AppFixture, *tokens: str) -> None:
    """Put an application that demands a token in place of the open one, and make it ready."""
    if not fixture.service.readiness.is_ready:
        await fixture.become_ready()
    app = make_app(fixture.service, Settings(workers=1), Tokens(tokens))
    fixture.client._transport.app = app  # type: ignore[attr-defined]


@pytest.mark.parametrize("token", [OLD, NEW])
async def test_each_accepted_token_is_served(token: str) -> None:
    async with serving() as fixture:
        await demanding(fixture, NEW, OLD)
        assert (await fixture.client.post("/embed", json=BODY, headers=bearer(token))).status_code == 200


@pytest.mark.parametrize("headers", [{}, bearer("another-token-of-the-test"), {"authorization": OLD}])
async def test_other_requests_get_401_before_their_body_is_read(headers: dict[str, str]) -> None:
    async with serving() as fixture:
        await demanding(fixture, NEW, OLD)
        refused = await fixture.client.post("/embed", content=b"no json", headers=headers)
        assert refused.status_code == 401
        assert refused.json()["error"] == {
            "message": "authorization: a bearer token that TANDEM_EMBEDDER_TOKEN accepts was expected",
            "type": "invalid_request_error",
            "code": "unauthorized",
            "param": "authorization",
        }
        assert refused.headers["www-authenticate"] == "Bearer"
        metrics = (await fixture.client.get("/metrics")).text
        assert 'tandem_embedder_rejected_total{reason="unauthorized"} 1.0' in metrics
        assert OLD not in refused.text + metrics


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics"])
async def test_the_probes_stay_open(path: str) -> None:
    async with serving() as fixture:
        await demanding(fixture, OLD)
        assert (await fixture.client.get(path)).status_code == 200


async def test_readyz_says_whether_the_token_is_accepted() -> None:
    async with serving() as fixture:
        await fixture.become_ready()
        assert "x-embedder-token" not in (await fixture.client.get("/readyz")).headers
        await demanding(fixture, OLD)
        for headers, said in ((bearer(OLD), "accepted"), (bearer(NEW), "refused"), ({}, "refused")):
            ready = await fixture.client.get("/readyz", headers=headers)
            assert (ready.status_code, ready.headers["x-embedder-token"]) == (200, said)


def test_a_token_and_a_file_exclude_each_other() -> None:
    with pytest.raises(SettingsError, match="exclude each other"):
        read(Settings, {"TANDEM_EMBEDDER_TOKEN": OLD, "TANDEM_EMBEDDER_TOKEN_FILE": __file__})


def test_a_bad_token_is_named_and_not_shown() -> None:
    with pytest.raises(SettingsError, match=r"^TANDEM_EMBEDDER_TOKEN=\.\.\.: token 2 of 2: 16 to 512") as caught:
        read(Settings, {"TANDEM_EMBEDDER_TOKEN": f"{OLD},hush"})
    assert "hush" not in str(caught.value)
