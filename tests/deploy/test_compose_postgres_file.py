"""deploy/compose.postgres.yml and the balancer's configuration; tests/containers runs them."""

import re
import stat
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

import tandem_gateway.settings
from tandem_gateway.settings.parsers import api_key, postgres_url
from tandem_tools.process import inherited_environment
from tests.deploy.manifests import DEPLOY, Manifest
from tests.docs.settings import variables
from tests.support.connections import CONNECTIONS
from tests.support.tools import run, tool

FILE = DEPLOY / "compose.postgres.yml"
GATEWAYS = ("gateway-1", "gateway-2", "gateway-3")


@pytest.fixture(scope="module")
def services() -> dict[str, Manifest]:
    found: dict[str, Manifest] = yaml.safe_load(FILE.read_text())["services"]
    return found


@pytest.fixture(scope="module")
def balancer() -> str:
    return (DEPLOY / "haproxy.cfg").read_text()


def test_it_is_valid_and_old_and_new_compose_take_it() -> None:
    run([tool("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", FILE])
    content = yaml.safe_load(FILE.read_text())
    assert not {"name", "version"} & content.keys()
    run([tool("docker-compose"), "-f", FILE, "config", "--quiet"], env=inherited_environment())


def test_services_are_confined_and_bounded(services: dict[str, Manifest]) -> None:
    for name, service in services.items():
        if "extends" not in service:
            assert service["mem_limit"], name
            assert service["read_only"] is True
            assert service["cap_drop"] == ["ALL"]
            assert service["security_opt"] == ["no-new-privileges:true"]
    assert [name for name, service in services.items() if "ports" in service] == ["balancer"]
    assert services["balancer"]["ports"] == ["${TANDEM_BIND:-127.0.0.1}:${TANDEM_PORT:-8000}:8000"]


def test_the_gateways_are_alike_and_a_gateway_is_that_of_the_other_file(services: dict[str, Manifest]) -> None:
    one, *others = (services[name] for name in GATEWAYS)
    assert all(other == one for other in others)
    assert one["environment"].keys() <= variables(tandem_gateway.settings.Settings)
    alone = yaml.safe_load((DEPLOY / "compose.yml").read_text())["services"]["gateway"]
    added = {"TANDEM_STORE_URL_FILE", "TANDEM_SNAPSHOT_URL", "TANDEM_AUDIT_LOG"}
    assert one["environment"].keys() - alone["environment"].keys() == added
    # They share no data directory: each locks its own.
    assert one["volumes"] == ["key:/var/lib/tandem-key:ro", "snapshots:/var/lib/tandem-snapshots"]


def test_the_gateways_share_snapshots_in_a_volume_that_they_can_write(services: dict[str, Manifest]) -> None:
    url = urlsplit(services["gateway-1"]["environment"]["TANDEM_SNAPSHOT_URL"])
    assert (url.scheme, url.path) == ("file", "/var/lib/tandem-snapshots")
    # A new volume takes over the owner of the image's folder.
    dockerfile = (DEPLOY.parent / "services/gateway/Dockerfile").read_text()
    (made,) = re.findall(r"^ && install --directory --owner tandem .*$", dockerfile, re.MULTILINE)
    assert url.path in made.split()


def test_the_secrets_are_made_once_and_only_a_group_reads_those_of_the_database(
    services: dict[str, Manifest], tmp_path: Path
) -> None:
    program, flag, code = services["key"]["entrypoint"]
    assert (program, flag) == ("python", "-c")
    made = []
    for _ in range(2):
        subprocess.run([sys.executable, "-c", code.replace("/var/lib/tandem-key/", f"{tmp_path}/")], check=True)
        made.append({file.name: file.read_text() for file in tmp_path.iterdir()})
    assert made[0] == made[1]
    assert api_key(made[0]["key"])
    assert postgres_url(made[0]["url"]) == f"postgresql://tandem:{made[0]['password']}@db/tandem"
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}
    assert modes == {"key": 0o600, "password": 0o640, "url": 0o640}
    assert services["db"]["group_add"] == ["10001"]
    assert services["db"]["environment"]["POSTGRES_PASSWORD_FILE"] == "/var/lib/tandem-key/password"


def test_the_database_has_the_timeouts_of_the_page_and_enough_connections(services: dict[str, Manifest]) -> None:
    given = dict(option.removeprefix("-c").split("=") for option in services["db"]["command"][1:])
    assert int(given["max_connections"]) - 3 >= (len(GATEWAYS) + 1) * CONNECTIONS
    page = (DEPLOY.parent / "docs/postgresql.md").read_text()
    for name in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"):
        assert f"SET {name} = '{given[name]}'" in page
    for name in ("tcp_keepalives_idle", "tcp_keepalives_interval", "tcp_keepalives_count", "tcp_user_timeout"):
        assert f"`{name} = {given[name]}`" in page


def test_the_balancer_leaves_out_what_is_not_ready_and_retries_once(balancer: str) -> None:
    assert re.findall(r"^    server (\S+) (\S+)$", balancer, re.MULTILINE) == [
        (name, f"{name}:8000") for name in GATEWAYS
    ]
    for line in (
        "retries 1",
        "option redispatch 1",
        "http-check send meth GET uri /readyz ver HTTP/1.1 hdr Host localhost",
        "retry-on conn-failure empty-response",
        "http-request disable-l7-retry unless { method GET HEAD } or { path_beg /v1/search }",
    ):
        assert f"    {line}\n" in balancer


def test_images_that_are_pulled_have_a_version_and_can_be_others(services: dict[str, Manifest]) -> None:
    assert re.fullmatch(r"\$\{TANDEM_POSTGRES_IMAGE:-postgres:\d+\.\d+\}", services["db"]["image"])
    assert re.fullmatch(r"\$\{TANDEM_HAPROXY_IMAGE:-haproxy:\d+\.\d+\.\d+\}", services["balancer"]["image"])
