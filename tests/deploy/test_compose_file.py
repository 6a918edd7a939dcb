"""deploy/compose.yml: valid, and what it promises; tests/containers runs it."""

import os

import tandem_embedder.settings
import tandem_gateway.settings
from tests.deploy.manifests import DEPLOY, compose
from tests.docs.readme import variables
from tests.support.tools import run, tool


def test_it_is_valid() -> None:
    run([tool("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", DEPLOY / "compose.yml"])


def test_old_and_new_compose_take_it() -> None:
    content = compose()
    assert "name" not in content  # docker-compose 1.29 refuses it
    assert "version" not in content  # the plugin warns of it
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("TANDEM_")}
    run([tool("docker-compose"), "-f", DEPLOY / "compose.yml", "config", "--quiet"], env=inherited)


def test_what_watches_starts_only_if_asked_for() -> None:
    profiles = {name: service.get("profiles", []) for name, service in compose()["services"].items()}
    assert profiles == {"embedder": [], "gateway": [], "prometheus": ["monitoring"], "grafana": ["monitoring"]}


def test_only_the_gateway_and_what_watches_is_reached_and_from_this_machine_alone() -> None:
    services = compose()["services"]
    assert "ports" not in services["embedder"]
    assert services["embedder"]["networks"] == ["embedders"]
    assert compose()["networks"]["embedders"]["internal"] is True
    assert services["gateway"]["ports"] == ["${TANDEM_BIND:-127.0.0.1}:${TANDEM_PORT:-8000}:8000"]
    for name in ("prometheus", "grafana"):
        assert all(port.startswith("127.0.0.1:") for port in services[name]["ports"])


def test_services_are_confined_and_bounded() -> None:
    services = compose()["services"]
    for name in ("embedder", "gateway"):
        service = services[name]
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["cpus"]
        assert service["mem_limit"]
        drain = float(service["environment"]["TANDEM_SHUTDOWN_TIMEOUT_SECONDS"])
        assert float(service["stop_grace_period"].removesuffix("s")) >= drain + 5


def test_the_variables_are_settings_of_the_service() -> None:
    services = compose()["services"]
    assert services["gateway"]["environment"].keys() <= variables(tandem_gateway.settings.Settings)
    assert services["embedder"]["environment"].keys() <= variables(tandem_embedder.settings.Settings)


def test_images_that_are_pulled_have_a_version() -> None:
    for name, service in compose()["services"].items():
        if "build" not in service:
            tag = service["image"].rpartition(":")[2]
            assert tag.lstrip("v")[0].isdigit(), (name, tag)
