"""What `helm test` runs, against real services: with TLS and a key, and with what must make it fail."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tandem_tools.process import free_port, inherited_environment
from tests.deploy.chart import CHART
from tests.support.certificates import Authority
from tests.support.processes import ServiceProcess
from tests.support.stack import embedder_process, gateway_process, service_url
from tests.support.tls_stack import not_ready

SCRIPT = (CHART / "files" / "check.py").read_text()
KEY = "the-key-of-the-first-administrator"


@dataclass
class Gateways:
    """Two gateways with one embedder, and files beside them."""

    with_tls: str
    certificate: Path
    without_key: str
    key: Path


@pytest.fixture(scope="module")
def gateways(tmp_path_factory: pytest.TempPathFactory, model_dir: Path) -> Iterator[Gateways]:
    folder = tmp_path_factory.mktemp("check")
    key = folder / "key"
    key.write_text(KEY)
    authority = Authority(folder / "ca")
    files = authority.server_files()
    embedder = embedder_process(folder, model_dir)
    port = free_port()
    url = f"https://localhost:{port}"
    env = {
        "TANDEM_GATEWAY_PORT": str(port),
        "TANDEM_EMBEDDER_URL": service_url(embedder),
        "TANDEM_DATA_DIR": str(folder / "with-tls"),
        "TANDEM_TLS_CERT_FILE": str(files.certificate),
        "TANDEM_TLS_KEY_FILE": str(files.key),
        "TANDEM_API_KEY_FILE": str(key),
    }
    with_tls = ServiceProcess("tandem_gateway", env=env, log_path=folder / "with-tls.log")
    with_tls.ready = lambda _: not_ready(url, authority.client_context())
    without_key, client = gateway_process(folder, folder / "without-key", service_url(embedder))
    client.close()
    with ExitStack() as opening:
        for service in (embedder, with_tls, without_key):
            opening.enter_context(service)
        yield Gateways(url, files.certificate, service_url(without_key), key)


def check(*arguments: str | Path, script: str = SCRIPT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-IS", "-c", script, *map(str, arguments)]
    return subprocess.run(
        command, env=inherited_environment(), capture_output=True, text=True, timeout=200, check=False
    )


def test_it_passes_with_the_certificate_and_the_key(gateways: Gateways) -> None:
    done = check(gateways.with_tls, gateways.key, gateways.certificate)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "the gateway is ready",
        "it asks for a key, and takes the administrator's",
        "an embedder serves it",
    ]


def test_another_key_fails(gateways: Gateways, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("another-key-of-the-same-length-!!!")
    done = check(gateways.with_tls, tmp_path / "key", gateways.certificate)
    assert done.returncode == 1
    assert "/v1/collections with the API key answers 401" in done.stderr


def test_a_gateway_that_asks_for_no_key_fails(gateways: Gateways) -> None:
    done = check(gateways.without_key, gateways.key)
    assert done.returncode == 1
    assert "/v1/collections without a key answers 200 and not 401" in done.stderr


def test_another_certificate_fails(gateways: Gateways, tmp_path: Path) -> None:
    """It waits for two minutes; here for none."""
    other = Authority(tmp_path).server_files()
    at_once = SCRIPT.replace("SECONDS = 120", "SECONDS = 0")
    assert at_once != SCRIPT
    done = check(gateways.with_tls, gateways.key, other.certificate, script=at_once)
    assert done.returncode == 1
    assert "/readyz answers 0" in done.stderr
    assert "CERTIFICATE_VERIFY_FAILED" in done.stderr
