"""The console's page and files: who gets them, their headers, and that the API stays as it is beside them."""

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tandem_gateway.http.console import prefers_html, read_console, with_console
from tandem_runtime.request_id import Message, Scope

BROWSER = b"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
FOLDER = Path(read_console.__code__.co_filename).parent / "static" / "console"
CONSOLE = read_console()


async def api(scope: Scope, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": b"{}"})


async def asked(path: str, method: str = "GET", **headers: bytes) -> tuple[int, dict[bytes, bytes], bytes]:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    named = [(name.replace("_", "-").encode(), value) for name, value in headers.items()]
    scope: Scope = {"type": "http", "method": method, "path": path, "headers": named}
    await with_console(api, CONSOLE)(scope, api, send)
    return sent[0]["status"], dict(sent[0]["headers"]), sent[1]["body"]


@pytest.mark.parametrize(
    ("accept", "html"),
    [
        (BROWSER, True),
        (b"text/html", True),
        (b"TEXT/HTML;q=0.9", True),
        (b"text/html;q=0, application/json", False),
        (b"application/json; Q=0.0, text/html", True),
        (b"*/*", False),
        (b"", False),
        (b"application/json", False),
        (b"application/json, text/html", False),
        (b"application/json, text/plain, */*", False),
    ],
)
def test_a_browser_prefers_the_page_and_a_client_of_the_api_does_not(accept: bytes, html: bool) -> None:
    assert prefers_html(accept) is html


async def test_the_root_answers_a_browser_with_the_page_and_others_as_before() -> None:
    status, headers, page = await asked("/", accept=BROWSER)
    assert (status, headers[b"content-type"]) == (200, b"text/html; charset=utf-8")
    assert headers[b"vary"] == b"accept"
    assert headers[b"cache-control"] == b"no-cache"
    assert b"{{" not in page
    status, headers, body = await asked("/", accept=b"*/*")
    assert (status, body, headers[b"vary"]) == (200, b"{}", b"accept")
    assert (await asked("/", "POST", accept=BROWSER))[2] == b"{}"
    assert (await asked("/v1/search", accept=BROWSER))[1].get(b"vary") is None


async def test_the_page_may_run_and_style_by_its_own_files_only() -> None:
    policy = (await asked("/", accept=BROWSER))[1][b"content-security-policy"].decode()
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == rules["frame-ancestors"] == rules["base-uri"] == rules["form-action"] == "'none'"
    assert rules["script-src"] == rules["style-src"] == rules["connect-src"] == "'self'"
    assert rules["require-trusted-types-for"] == "'script'"
    assert "unsafe" not in policy


async def test_a_page_that_the_browser_has_is_not_sent_again() -> None:
    tag = (await asked("/", accept=BROWSER))[1][b"etag"]
    for known in (tag, b'W/%s, "other"' % tag, b"*"):
        status, headers, body = await asked("/", accept=BROWSER, if_none_match=known)
        assert (status, headers[b"etag"], body) == (304, tag, b"")
    assert (await asked("/", accept=BROWSER, if_none_match=b'"other"'))[0] == 200


async def test_every_file_of_the_page_is_there_and_kept_for_a_year() -> None:
    page = (await asked("/", accept=BROWSER))[2].decode()
    named = set(re.findall(r'(?:href|src)="(console/[^"]+)"', page))
    assert named >= {path.removeprefix("/") for path in CONSOLE.files if path.endswith((".css", "/app.js", ".svg"))}
    for path in CONSOLE.files:
        status, headers, body = await asked(path)
        assert (status, headers[b"x-content-type-options"]) == (200, b"nosniff")
        assert headers[b"cache-control"] == b"public, max-age=31536000, immutable"
        assert body == (FOLDER / path.rpartition("/")[2]).read_bytes()
    for path in FOLDER.glob("*.js"):
        for imported in re.findall(r'from "\./([\w.]+)"', path.read_text()):
            assert (FOLDER / imported).is_file(), f"{path.name} imports {imported}"


@pytest.mark.parametrize(
    "path",
    ["/console/", "/console/0000000000000000/app.js", "/console/../openapi.py", "/console/%2e%2e/x", "/console/a\n"],
)
async def test_no_other_path_below_the_console_has_anything(path: str) -> None:
    status, headers, body = await asked(path)
    assert (status, headers[b"cache-control"]) == (404, b"no-store")
    assert msgspec.json.decode(body)["error"]["code"] == "not_found"


async def test_files_cannot_be_written() -> None:
    status, headers, _ = await asked(next(iter(CONSOLE.files)), "POST")
    assert (status, headers[b"allow"]) == (405, b"GET, HEAD")


def test_the_folder_of_the_files_changes_with_their_content(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<script src='{{files}}/app.js'></script>")
    (tmp_path / "app.js").write_text("1")
    (tmp_path / "note.txt").write_text("is no file of the page")
    first = read_console(tmp_path)
    assert len(first.files) == 1
    (tmp_path / "app.js").write_text("2")
    second = read_console(tmp_path)
    assert first.files.keys() != second.files.keys()
    assert first.tag != second.tag


def test_modules_are_small_and_make_no_elements_from_strings() -> None:
    for path in FOLDER.iterdir():
        text = path.read_text()
        assert len(text.splitlines()) <= 300, path.name
        assert len(text) < 64 << 10, path.name
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|https?://(?!www\.w3\.org)", text
        ), path.name
