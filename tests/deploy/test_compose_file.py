"""deploy/compose.yml is valid and keeps its promises; tests/containers runs it."""

import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import tandem_embedder.settings
import tandem_gateway.settings
from tandem_gateway.settings.parsers import api_key
from tandem_runtime.settings import read
from tandem_tools.process import inherited_environment
from tests.deploy.manifests import DEPLOY, compose
from tests.deploy.memory import memory_needed
from tests.docs.settings import variables
from tests.support.tools import run, tool


def test_it_is_valid() -> None:
    run([tool("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", DEPLOY / "compose.yml"])


def test_old_and_new_compose_take_it() -> None:
    content = compose()
    assert "name" not in content  # docker-compose 1.29 refuses it
    assert "version" not in content  # the plugin warns about it
    inherited = inherited_environment()
    run([tool("docker-compose"), "-f", DEPLOY / "compose.yml", "config", "--quiet"], env=inherited)


def test_only_the_gateway_and_monitoring_have_ports_and_only_on_this_machine() -> None:
    services = compose()["services"]
    assert "ports" not in services["embedder"]
    assert all(compose()["networks"][name]["internal"] for name in services["embedder"]["networks"])
    for name in ("gateway", "prometheus", "grafana"):
        assert all(port.startswith(("127.0.0.1:", "${TANDEM_BIND:-127.0.0.1}:")) for port in services[name]["ports"])


def test_services_are_confined_and_bounded() -> None:
    services = compose()["services"]
    for name, service in services.items():
        assert service["mem_limit"], name
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["logging"]["options"].keys() == {"max-size", "max-file"}
    for name, prefix in {"embedder": "TANDEM_EMBEDDER", "gateway": "TANDEM"}.items():
        service = services[name]
        drain = float(service["environment"][f"{prefix}_SHUTDOWN_TIMEOUT_SECONDS"])
        assert float(service["stop_grace_period"].removesuffix("s")) >= drain + 5


@pytest.mark.parametrize("service", ["embedder", "gateway"])
def test_memory_covers_a_service_at_rest_and_the_budgets_of_requests(service: str) -> None:
    default = re.fullmatch(r"\$\{\w+:-(\d+)([mg])\}", str(compose()["services"][service]["mem_limit"]))
    assert default is not None
    assert int(default[1]) * {"m": 1, "g": 1024}[default[2]] >= 2 * memory_needed(service)


def test_the_gateway_answers_to_its_names_alone_since_browsers_reach_its_port() -> None:
    content = compose()["services"]
    given = content["gateway"]["environment"]["TANDEM_ALLOWED_HOSTS"].replace("${TANDEM_ALLOWED_HOSTS:-}", "")
    allowed = read(tandem_gateway.settings.Settings, {"TANDEM_ALLOWED_HOSTS": given}).allowed_hosts
    assert allowed
    scraped = yaml.safe_load((DEPLOY / "monitoring" / "prometheus.yml").read_text())["scrape_configs"]
    (gateway,) = [job for job in scraped if job["job_name"] == "tandem-gateway"]
    targets = [target for config in gateway["static_configs"] for target in config["targets"]]
    assert {target.partition(":")[0] for target in targets} == set(allowed)
    # Prometheus calls embedders by their IP addresses.
    assert "TANDEM_EMBEDDER_ALLOWED_HOSTS" not in content["embedder"]["environment"]


def test_the_gateway_gets_a_random_key_that_is_made_once(tmp_path: Path) -> None:
    services = compose()["services"]
    gateway, key = services["gateway"], services["key"]
    assert gateway["depends_on"]["key"] == {"condition": "service_completed_successfully"}
    file = gateway["environment"]["TANDEM_API_KEY_FILE"]
    assert f"key:{Path(file).parent}:ro" in gateway["volumes"]
    assert f"key:{Path(file).parent}" in key["volumes"]
    dockerfile = (DEPLOY.parent / "services/gateway/Dockerfile").read_text()
    assert f" {Path(file).parent}\n" in dockerfile  # a new volume takes over the owner of this folder
    program, flag, code = key["entrypoint"]
    assert (program, flag) == ("python", "-c")
    made = tmp_path / "key"
    texts = []
    for _ in range(2):
        subprocess.run([sys.executable, "-c", code.replace(file, str(made))], check=True)
        texts.append(made.read_text())
    assert texts[0] == texts[1] == api_key(texts[0])
    assert stat.S_IMODE(made.stat().st_mode) == 0o600


def test_nobody_can_log_in_to_grafana() -> None:
    environment = compose()["services"]["grafana"]["environment"]
    assert environment["GF_AUTH_ANONYMOUS_ENABLED"] == "true"
    assert environment["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"
    assert environment["GF_AUTH_DISABLE_LOGIN_FORM"] == "true"
    assert environment["GF_AUTH_BASIC_ENABLED"] == "false"  # otherwise the API accepts admin's default password
    assert environment["GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION"] == "true"


def test_the_variables_are_settings_of_the_service() -> None:
    services = compose()["services"]
    assert services["gateway"]["environment"].keys() <= variables(tandem_gateway.settings.Settings)
    assert services["embedder"]["environment"].keys() <= variables(tandem_embedder.settings.Settings)


def test_images_that_are_pulled_have_a_version() -> None:
    for name, service in compose()["services"].items():
        if "build" not in service:
            tag = service["image"].rpartition(":")[2]
            assert tag.lstrip("v")[0].isdigit(), (name, tag)
