"""Limits and usage of a real gateway: keys from the command line, restarts and kills."""

from pathlib import Path
from typing import Any

import pytest

from tests.integration.test_access import id_of, keys, made, status
from tests.support.processes import ServiceProcess
from tests.support.stack import Client, gateway_process, wait_until


def usage(client: Client, admin: str, of: str) -> dict[str, Any]:
    headers = {"authorization": f"Bearer {admin}"}
    entries = client.http.get(f"/v1/admin/usage?key={id_of(of)}", headers=headers).json()["usage"]
    return entries[0] if entries else {"requests": 0}


@pytest.fixture
def gateway(tmp_path: Path) -> Any:
    process, client = gateway_process(tmp_path, tmp_path / "data", "http://127.0.0.1:9")
    with process:
        wait_until(lambda: status(client, None) == 200, "keyword search answers")
        yield process, client, tmp_path / "data"
        client.close()


@pytest.mark.parametrize("kill", [False, True])
def test_the_day_goes_on_after_a_restart_and_after_a_kill(
    gateway: tuple[ServiceProcess, Client, Path], kill: bool
) -> None:
    process, client, data_dir = gateway
    limited = made(data_dir, "create", "--name", "limited", "--role", "search", "--limit", "requests=10/day")
    admin = made(data_dir, "create", "--name", "admin", "--role", "admin", "--limit", "none")
    wait_until(lambda: status(client, admin) == 200, "both keys are known")
    assert "limits requests=10/day" in keys(data_dir, "list").stdout
    assert "limits none" in keys(data_dir, "list").stdout
    assert [status(client, limited) for _ in range(6)] == [200] * 6
    assert usage(client, admin, limited)["requests"] == 6  # this saves what was used so far
    assert [status(client, limited) for _ in range(2)] == [200] * 2
    if kill:
        process.kill()
    else:
        assert process.terminate() == 0
    process.start().wait_ready()
    wait_until(lambda: status(client, admin) == 200, "keyword search answers")
    kept = usage(client, admin, limited)["requests"]
    # A kill loses at most what was used since the last save.
    assert kept in ((6, 7, 8) if kill else (8,))
    assert [status(client, limited) for _ in range(11 - kept)] == [200] * (10 - kept) + [429]
    assert usage(client, admin, limited)["requests"] == 10


def test_a_limit_that_is_not_valid_is_refused(tmp_path: Path) -> None:
    done = keys(tmp_path, "create", "--name", "x", "--role", "search", "--limit", "requests=many")
    assert done.returncode != 0
    assert "--limit: " in done.stderr
    assert "requests=100/minute" in done.stderr
