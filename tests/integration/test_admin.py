"""The operators' API: its access control and its refusals."""

from collections.abc import Iterator
from pathlib import Path

import httpx2 as httpx
import pytest

from tests.support.raw_http import talk
from tests.support.stack import Client, Stack, gateway_process, service_url, wait_until

TOKEN = "correct-horse-battery"
PATH = "/v1/admin/traffic"


@pytest.fixture(scope="module")
def admin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Client, Path]]:
    folder = tmp_path_factory.mktemp("admin")
    environment = {
        "TANDEM_ADMIN_TOKEN": TOKEN,
        "TANDEM_CANARY_URL": "http://127.0.0.1:9",
        "TANDEM_CANARY_WEIGHT": "5",
        "TANDEM_CANARY_SHADOW": "7",
    }
    process, client = gateway_process(folder, folder / "data", "http://127.0.0.1:9", env=environment)
    with process:
        yield client, process.log_path
    client.close()


def ask(
    client: Client, method: str = "GET", token: str | None = f"Bearer {TOKEN}", body: object = None
) -> httpx.Response:
    headers = {} if token is None else {"authorization": token}
    return client.http.request(method, PATH, headers=headers, json=body)


def test_without_a_token_set_the_api_is_off(client: Client) -> None:
    for token in (None, "Bearer", "Bearer x"):
        answer = ask(client, token=token)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
        assert "TANDEM_ADMIN_TOKEN is not set" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "token",
    [None, "", "Bearer", "Bearer wrong", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}"],
)
@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_a_request_without_the_token_is_refused(admin: tuple[Client, Path], method: str, token: str | None) -> None:
    answer = ask(admin[0], method, token, {"canary_weight": 99})
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "unauthorized")
    assert answer.headers["www-authenticate"] == "Bearer"
    assert ask(admin[0]).json()["canary_weight"] == 5


def test_a_token_in_a_trailer_is_none(admin: tuple[Client, Path]) -> None:
    """A proxy checks only the head; trailers pass it unchecked."""
    client = admin[0]
    answer = talk(
        str(client.http.base_url),
        f"PUT {PATH} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\n"
        "transfer-encoding: chunked\r\n\r\n"
        f'15\r\n{{"canary_weight": 99}}\r\n0\r\nauthorization: Bearer {TOKEN}\r\n\r\n'.encode(),
    )
    assert answer.startswith(b"HTTP/1.1 401 ")
    assert ask(client).json()["canary_weight"] == 5


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_shares_are_those_of_the_settings_until_they_are_changed(admin: tuple[Client, Path], scheme: str) -> None:
    client, _ = admin
    shown = ask(client, token=f"{scheme} {TOKEN}")
    assert shown.status_code == 200
    state = shown.json()
    assert (state["canary_weight"], state["shadow_percent"], state["last_roll_back"]) == (5, 7, None)
    assert [replica["address"] for replica in state["canary"]["replicas"]] == ["127.0.0.1:9"]
    changed = ask(client, "PUT", body={"canary_weight": 20, "shadow_percent": 0}).json()
    assert (changed["canary_weight"], changed["shadow_percent"]) == (20, 0)
    assert client.metric("tandem_gateway_canary_weight") == 20
    kept = ask(client, "PUT", body={"canary_weight": 5}).json()
    assert (kept["canary_weight"], kept["shadow_percent"]) == (5, 0)
    ask(client, "PUT", body={"canary_weight": 5, "shadow_percent": 7})


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({"canary_weight": 101}, "limit_exceeded", "canary_weight"),
        ({"canary_weight": -1}, "limit_exceeded", "canary_weight"),
        ({"canary_weight": 5, "shadow_percent": 101}, "limit_exceeded", "shadow_percent"),
        ({"canary_weight": 0.5}, "invalid_field", "canary_weight"),
        ({"canary_weight": True}, "invalid_field", "canary_weight"),
        ({"canary_weight": "5"}, "invalid_field", "canary_weight"),
        ({}, "missing_field", "canary_weight"),
        ({"canary_weight": 5, "shadow": 5}, "unknown_field", "shadow"),
    ],
)
def test_an_invalid_share_is_refused_by_name(admin: tuple[Client, Path], body: object, code: str, param: str) -> None:
    answer = ask(admin[0], "PUT", body=body)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (422, code, param)
    assert ask(admin[0]).json()["canary_weight"] == 5


def test_the_token_is_in_no_log(admin: tuple[Client, Path]) -> None:
    client, log = admin
    assert ask(client).status_code == 200
    assert ask(client, token=f"Basic {TOKEN}").status_code == 401
    text = log.read_text()
    assert '"admin_token":"set"' in text
    assert TOKEN not in text


def test_the_model_is_known_before_the_first_call(stack: Stack, tmp_path: Path) -> None:
    url = service_url(stack.embedder)
    ready = httpx.get(f"{url}/readyz").json()
    process, client = gateway_process(tmp_path, tmp_path / "data", url, env={"TANDEM_ADMIN_TOKEN": TOKEN})
    with process:

        def fingerprint() -> str | None:
            (replica,) = ask(client).json()["stable"]["replicas"]
            return replica["fingerprint"]

        assert wait_until(fingerprint, "the fingerprint") == ready["fingerprint"]
        assert client.metric("tandem_gateway_pool_calls_total", {"pool": "stable"}) == 0
        assert ask(client).json()["stable"]["calls"] == 0
    client.close()
