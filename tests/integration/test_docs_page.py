"""The API's documentation page in a browser: it shows every operation and loads nothing from another origin."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support.chromium import Page
from tests.support.stack import Client, gateway_process, wait_until

# All text of the page, including the shadow roots of its elements.
TEXT = """(function text(node) {
  let found = node.nodeType === 3 ? node.data : "";
  if (node.nodeName === "STYLE") return "";
  if (node.shadowRoot) found += text(node.shadowRoot);
  for (const child of node.childNodes) found += " " + text(child);
  return found;
})(document)"""


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    process, client = gateway_process(tmp_path, tmp_path / "data", "http://127.0.0.1:9")
    with process:
        yield client
    client.close()


def test_the_page_shows_every_operation_and_asks_no_other_origin(client: Client, tmp_path: Path) -> None:
    paths = client.http.get("/openapi.json").json()["paths"]
    operations = [operation for described in paths.values() for operation in described.values()]
    with Page(tmp_path) as page:
        page.call("Page.navigate", url=f"{client.url}/docs")

        def whole_text() -> str | None:  # read once for all paths, since the page is long
            text: str = page.evaluate(TEXT)
            return text if all(path in text for path in paths) else None

        text = wait_until(whole_text, "every path", 60)
        # A request by the page itself, as its form sends it.
        status = page.evaluate("fetch('v1/collections').then(reply => reply.status)")
    assert [operation["summary"] for operation in operations if operation["summary"] not in text] == []
    assert status == 200
    origins = {urlsplit(url).netloc for url in page.asked if not url.startswith(("data:", "about:", "blob:"))}
    assert origins == {urlsplit(client.url).netloc}
    asked = {urlsplit(url).path for url in page.asked}
    assert {"/docs", "/docs/rapidoc-min.js", "/openapi.json"} <= asked
    assert set(page.statuses.values()) == {200}
    assert page.complaints == []


def test_each_example_works_on_an_empty_gateway(client: Client) -> None:
    paths = client.http.get("/openapi.json").json()["paths"]

    def examples(path: str) -> list[dict[str, Any]]:
        content = paths[path]["post"]["requestBody"]["content"]["application/json"]
        return [example["value"] for example in content["examples"].values()]

    for value in examples("/v1/ingest"):
        assert client.http.post("/v1/ingest", json=value).status_code == 202
    assert len(examples("/v1/search")) == 3
    for value in examples("/v1/search"):
        wait_until(lambda value=value: client.http.post("/v1/search", json=value).json().get("results"), "a hit", 60)


def test_the_page_says_where_a_token_is_needed_and_which_codes_an_error_has(client: Client) -> None:
    described = client.http.get("/openapi.json").json()
    assert "TANDEM_ADMIN_TOKEN" in described["components"]["securitySchemes"]["operator"]["description"]
    responses = described["paths"]["/v1/search"]["post"]["responses"]
    assert responses["400"]["description"] == "Error: `malformed_body`, `invalid_encoding`"
    assert "`unknown_field`" in responses["422"]["description"]


def test_the_page_cannot_ask_another_origin(client: Client, tmp_path: Path) -> None:
    other = client.url.replace("127.0.0.1", "localhost")
    with Page(tmp_path) as page:
        page.call("Page.navigate", url=f"{client.url}/docs")
        wait_until(lambda: page.evaluate("document.readyState") == "complete", "the page", 60)
        refused = page.evaluate(f"fetch('{other}/livez').then(() => 'answered', error => 'refused')")
        page.evaluate("1")
    assert refused == "refused"
    assert any("Content Security Policy" in complaint for complaint in page.complaints), page.complaints


def test_the_page_and_its_script_are_of_their_types(client: Client) -> None:
    page, script = (client.http.get(path) for path in ("/docs", "/docs/rapidoc-min.js"))
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "'unsafe-eval'" not in page.headers["content-security-policy"]
    assert page.headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'; ")
    assert (script.status_code, script.headers["content-encoding"]) == (200, "gzip")
    assert "RapiDoc 9.3.8" in script.text
    assert client.http.get("/docs/").status_code == client.http.get("/docs/other").status_code == 404


@pytest.mark.parametrize("path", ["/docs", "/docs/rapidoc-min.js"])
def test_a_file_that_the_client_has_is_not_sent_again(client: Client, path: str) -> None:
    tag = client.http.get(path).headers["etag"]
    for known in (tag, f'W/{tag}, "other"', "*"):
        reply = client.http.get(path, headers={"if-none-match": known})
        assert (reply.status_code, reply.content, reply.headers["etag"]) == (304, b"", tag)
        assert "content-length" not in reply.headers
        assert "content-type" not in reply.headers
    assert client.http.get(path, headers={"if-none-match": '"other"'}).status_code == 200
    head = client.http.head(path)
    assert (head.status_code, head.content, head.headers["etag"]) == (200, b"", tag)
