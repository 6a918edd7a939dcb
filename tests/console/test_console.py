"""The console in a headless Chromium, against real services; ``suite.mjs`` imports the tests."""

import subprocess
from pathlib import Path

import pytest

from tests.console.environment import environment
from tests.console.sample import fill
from tests.support.stack import Stack, gateway_process
from tests.support.tools import tool

SUITE = Path(__file__).parent / "suite.mjs"
KEY = "a-key-for-the-tests-of-the-console-1234"


@pytest.mark.timeout(300)  # the first run installs the driver of the browser
def test_every_view_works_in_a_browser(model_dir: Path, tmp_path: Path) -> None:
    node = tool("node")
    browser = environment(tmp_path)
    with Stack(tmp_path, model_dir) as stack:
        fill(stack.client)
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
                timeout=200,
                check=False,
            )
    assert done.returncode == 0, done.stdout
    assert "skipped 0" in done.stdout, done.stdout
