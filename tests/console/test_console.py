"""The console in a headless Chromium, against real services; ``suite.mjs`` imports the tests."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.console.environment import environment
from tests.console.sample import fill
from tests.support.stack import Client, Stack, gateway_process
from tests.support.tools import tool

SUITE = Path(__file__).parent / "suite.mjs"
KEY = "a-key-for-the-tests-of-the-console-1234"


def check_hosts(client: Client) -> None:
    """Check that the page and its files are sent to hosts of the gateway's own names only."""
    page = client.http.get("/", headers={"accept": "text/html"})
    assert "<title>Tandem</title>" in page.text
    head = client.http.head("/", headers={"accept": "text/html"})
    assert (head.status_code, head.content, head.headers["etag"]) == (200, b"", page.headers["etag"])
    (style,) = re.findall(r'href="(console/\w+/base\.css)"', page.text)
    assert client.http.get(f"/{style}").headers["content-type"] == "text/css; charset=utf-8"
    for path in ("/", f"/{style}"):
        assert client.http.get(path, headers={"accept": "text/html", "host": "evil.example"}).status_code == 403


@pytest.mark.timeout(600)  # the first run installs the driver of the browser
def test_every_view_works_in_a_browser(model_dir: Path, tmp_path: Path) -> None:
    node = tool("node")
    browser = environment(tmp_path)
    with Stack(tmp_path, model_dir) as stack:
        fill(stack.client)
        check_hosts(stack.client)
        locked, client = gateway_process(
            tmp_path, tmp_path / "locked", stack.embedder_url, name="locked", env={"TANDEM_API_KEY": KEY}
        )
        client.close()
        with locked:
            urls = {"CONSOLE_URL": stack.client.url, "CONSOLE_LOCKED_URL": client.url, "CONSOLE_KEY": KEY}
            done = subprocess.run(
                [node, SUITE],
                env={**browser, **urls},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=500,
                check=False,
            )
    assert done.returncode == 0, done.stdout
    assert "skipped 0" in done.stdout, done.stdout


def test_the_setting_turns_the_console_off(tmp_path: Path) -> None:
    settings = {"TANDEM_CONSOLE": "false"}
    gateway, client = gateway_process(tmp_path, tmp_path / "data", "http://127.0.0.1:9", env=settings)
    with gateway:
        reply = client.http.get("/", headers={"accept": "text/html"})
        assert (reply.status_code, reply.json()["service"]) == (200, "tandem-gateway")
        assert "vary" not in reply.headers
        assert client.http.get("/console/0/app.js").status_code == 404
    client.close()
