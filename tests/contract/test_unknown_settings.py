"""A variable that begins with TANDEM_ and is no setting is probably a mistyped name: the log warns at the start."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import tandem_embedder.settings
import tandem_gateway.settings
from tandem_runtime.settings import variable_names
from tandem_runtime.unknown_settings import NAMES, warnings_of
from tandem_tools.process import inherited_environment


def test_the_names_are_those_of_both_services() -> None:
    declared = variable_names(tandem_gateway.settings.Settings) | variable_names(tandem_embedder.settings.Settings)
    assert set(NAMES) == declared, "add the setting's name to tandem_runtime/unknown_settings.py, or remove it there"
    assert list(NAMES) == sorted(set(NAMES))


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("TANDEM_SEARCH_TIMEOUT", "TANDEM_SEARCH_TIMEOUT_SECONDS"),
        ("TANDEM_MAX_BYTE_IN_FLIGHT", "TANDEM_MAX_BYTES_IN_FLIGHT"),
        ("TANDEM_WORKER", "TANDEM_WORKERS"),
        ("TANDEM_embedder_url", "TANDEM_EMBEDDER_URL"),
    ],
)
def test_a_mistyped_name_is_told_with_the_nearest_setting(name: str, nearest: str) -> None:
    assert warnings_of({name: "1"}) == [f"{name} is not a setting and has no effect; did you mean {nearest}?"]


def test_a_name_like_no_setting_is_told_alone() -> None:
    assert warnings_of({"TANDEM_XYZZY": "1"}) == ["TANDEM_XYZZY is not a setting and has no effect"]


def test_the_value_is_never_told() -> None:
    (line,) = warnings_of({"TANDEM_ADMIN_TOKN": "hush"})
    assert "hush" not in line


@pytest.mark.parametrize(
    "environment",
    [
        {f"TANDEM_{name}": "1" for name in NAMES},
        {"PATH": "/bin", "TANDEMX": "1", "XTANDEM_Y": "1"},
        {"TANDEM_WORKER": ""},  # as an empty value of a setting, which is the same as none
        {  # what Kubernetes adds to a pod beside a Service named tandem-gateway
            "TANDEM_GATEWAY_SERVICE_HOST": "10.0.0.1",
            "TANDEM_GATEWAY_SERVICE_PORT": "8000",
            "TANDEM_GATEWAY_SERVICE_PORT_HTTP": "8000",
            "TANDEM_GATEWAY_PORT": "tcp://10.0.0.1:8000",
            "TANDEM_GATEWAY_PORT_8000_TCP": "tcp://10.0.0.1:8000",
            "TANDEM_GATEWAY_PORT_8000_TCP_ADDR": "10.0.0.1",
        },
        {"TANDEM_TEST_SKIP_NOTHING": "1"},
        {"TANDEM_URL": "http://localhost:8000"},
    ],
)
def test_no_warning_for_a_known_name_of_either_service_or_a_name_of_another_program(
    environment: dict[str, str],
) -> None:
    assert warnings_of(environment) == []


def test_warnings_are_in_the_order_of_the_names() -> None:
    assert [line.split()[0] for line in warnings_of({"TANDEM_B9": "1", "TANDEM_A9": "1"})] == [
        "TANDEM_A9",
        "TANDEM_B9",
    ]


@pytest.mark.parametrize("service", ["gateway", "embedder"])
def test_each_service_warns_at_its_start(service: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:  # so that the service ends by itself
        done = subprocess.run(
            [sys.executable, "-m", f"tandem_{service}"],
            env={
                **inherited_environment(),
                f"TANDEM_{service.upper()}_PORT": str(taken.getsockname()[1]),
                "TANDEM_DATA_DIR": str(tmp_path / "data"),
                "TANDEM_MODEL_DIR": str(tmp_path / "no-model"),
                "TANDEM_EMBEDDER_MAX_BODY_BYTE": "1",
            },
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 1
    lines = [json.loads(line) for line in (done.stdout + done.stderr).splitlines()]
    (told,) = [line for line in lines if "not a setting" in line["message"]]
    assert told["level"] == "warning"
    assert told["message"] == (
        "TANDEM_EMBEDDER_MAX_BODY_BYTE is not a setting and has no effect; did you mean TANDEM_EMBEDDER_MAX_BODY_BYTES?"
    )
