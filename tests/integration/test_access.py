"""Access control of a real gateway: keys from the command line, restarts, kills, and the refusal to start without."""

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tandem_tools.process import inherited_environment
from tandem_tools.readiness import get
from tests.support.processes import ServiceProcess
from tests.support.stack import Client, gateway_process, wait_until

SEARCH = {"query": "words", "mode": "lexical"}
BOOTSTRAP = "a-key-from-outside-of-32-characters"


def keys(data_dir: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ``python -m tandem_gateway keys``."""
    command = [sys.executable, "-m", "tandem_gateway", "keys", *arguments, "--data-dir", str(data_dir)]
    return subprocess.run(command, env=inherited_environment(), capture_output=True, text=True, check=False)


def made(data_dir: Path, *arguments: str) -> str:
    done = keys(data_dir, *arguments)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() not in done.stderr
    return done.stdout.strip()


def status(client: Client, key: str | None) -> int:
    headers = {} if key is None else {"authorization": f"Bearer {key}"}
    return client.http.post("/v1/search", json=SEARCH, headers=headers).status_code


def id_of(key: str) -> str:
    return key.split("_")[1]


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[tuple[ServiceProcess, Client, Path]]:
    process, client = gateway_process(tmp_path, tmp_path / "data", "http://127.0.0.1:9")
    with process:
        wait_until(lambda: status(client, None) == 200, "keyword search answers")
        yield process, client, tmp_path / "data"
        client.close()


def test_keys_are_made_used_rotated_and_revoked_while_the_gateway_runs(
    gateway: tuple[ServiceProcess, Client, Path],
) -> None:
    process, client, data_dir = gateway
    first = made(data_dir, "create", "--name", "first", "--role", "search")
    wait_until(lambda: status(client, None) == 401, "the first key switches access control on")
    assert status(client, first) == 200
    refused = client.http.post("/v1/ingest", json={}, headers={"api-key": first})
    assert refused.status_code == 422  # the body is read before the collection is known
    narrow = made(
        data_dir, "create", "--name", "narrow", "--role", "ingest", "--collections", "a*,b", "--expires-in", "1d"
    )
    wait_until(lambda: status(client, narrow) == 403, "the second key is known")
    second = made(data_dir, "rotate", id_of(first))
    wait_until(lambda: status(client, first) == 401, "the old text does not work")
    assert status(client, second) == 200
    listed = keys(data_dir, "list").stdout
    assert [line.split("\t")[:4] for line in listed.splitlines()] == [
        [id_of(first), "first", "search", "*"],
        [id_of(narrow), "narrow", "ingest", "a*,b"],
    ]
    assert keys(data_dir, "revoke", id_of(first)).returncode == 0
    wait_until(lambda: status(client, second) == 401, "the revoked key does not work")
    assert keys(data_dir, "disable").returncode == 0
    wait_until(lambda: status(client, None) == 200, "access control is off")
    log = process.log_text()
    for text in (first, second, narrow):
        assert text not in log
        assert text not in listed


@pytest.mark.parametrize("kill", [False, True])
def test_a_key_outlives_a_restart_and_a_kill(gateway: tuple[ServiceProcess, Client, Path], kill: bool) -> None:
    process, client, data_dir = gateway
    key = made(data_dir, "create", "--name", "kept", "--role", "admin")
    wait_until(lambda: status(client, None) == 401, "access control is on")
    over_http = client.http.post(
        "/v1/admin/keys", json={"name": "other", "role": "search"}, headers={"x-api-key": key}
    ).json()["key"]
    if kill:
        process.kill()
    else:
        assert process.terminate() == 0
    process.start().wait_ready()
    wait_until(lambda: status(client, key) == 200, "keyword search answers")
    assert [status(client, each) for each in (key, over_http, None)] == [200, 200, 401]
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in data_dir.glob("access*")}
    assert modes.keys() >= {"access.db", "access.secret"}
    assert set(modes.values()) == {0o600}


def test_the_last_use_of_a_key_is_kept_over_a_restart(gateway: tuple[ServiceProcess, Client, Path]) -> None:
    process, client, data_dir = gateway
    key = made(data_dir, "create", "--name", "used", "--role", "search")
    wait_until(lambda: status(client, None) == 401, "access control is on")
    assert "used never" in keys(data_dir, "list").stdout
    assert status(client, key) == 200
    assert process.terminate() == 0
    assert "used never" not in keys(data_dir, "list").stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["create", "--name", "x", "--role", "root"], "argument --role: invalid choice: 'root'"),
        (["create", "--name", "", "--role", "admin"], "--name: 1 to 100 printable characters"),
        (["create", "--name", "x", "--role", "admin", "--collections", "/"], "--collections: 1 to 64 characters"),
        (["create", "--name", "x", "--role", "admin", "--expires-in", "soon"], "--expires-in: a whole number"),
        (["create", "--name", "x", "--role", "admin", "--expires-in", "99999d"], "--expires-in: a whole number"),
        (["create", "--name", "x", "--role", "search", "--limit", "words=3/day"], "--limit: "),
        (["create", "--name", "x", "--role", "search", "--filter", '{"$or": 1}'], "--filter: a field of 1 to"),
        (["create", "--name", "x", "--role", "admin", "--filter", '{"a": 1}'], "--role: a key with a filter"),
        (["rotate", "0123456789ab", "--grace", "999d"], "--grace: a whole number"),
        (["revoke", "0123456789ab"], "id: there is no key '0123456789ab'"),
        (["rotate", "0123456789ab"], "id: there is no key '0123456789ab'"),
    ],
)
def test_a_command_that_cannot_be_done_says_why_and_makes_no_key(
    tmp_path: Path, arguments: list[str], said: str
) -> None:
    done = keys(tmp_path, *arguments)
    assert done.returncode != 0
    assert done.stdout == ""
    assert said in done.stderr
    assert keys(tmp_path, "list").stdout == ""


def exposed(folder: Path, *arguments: str, **variables: str) -> tuple[ServiceProcess, Client]:
    """Return a gateway on all addresses, which is not started."""
    environment = {"TANDEM_GATEWAY_HOST": "0.0.0.0", **variables}
    process, client = gateway_process(folder, folder / "data", "http://127.0.0.1:9", env=environment)
    process.command += arguments
    return process, client


def test_a_gateway_that_others_reach_does_not_start_without_a_key(tmp_path: Path) -> None:
    process, client = exposed(tmp_path)
    client.close()
    assert process.start().wait_exit() == 2
    (line,) = [line for line in process.log_lines() if line["level"] == "error"]
    for told in ("keys create", "TANDEM_API_KEY_FILE", "--insecure"):
        assert told in line["error"]
    assert "\n" not in line["error"]
    made(tmp_path / "data", "create", "--name", "first", "--role", "search")
    process, client = exposed(tmp_path)
    with process:
        assert status(client, None) == 401
        keys(tmp_path / "data", "disable")
        wait_until(lambda: "API keys read" in process.log_text(), "the change is read")
        assert status(client, None) == 401  # switched off on loopback alone
    client.close()
    process, client = exposed(tmp_path)
    client.close()
    assert process.start().wait_exit() == 2
    assert "keys enable" in [line for line in process.log_lines() if line["level"] == "error"][-1]["error"]


@pytest.mark.parametrize("by", ["flag", "variable"])
def test_a_gateway_that_is_told_so_starts_without_a_key(tmp_path: Path, by: str) -> None:
    process, client = exposed(tmp_path, "--insecure") if by == "flag" else exposed(tmp_path, TANDEM_INSECURE="true")
    with process:
        wait_until(lambda: status(client, None) == 200, "keyword search answers")
        (line,) = [line for line in process.log_lines() if "access control is off" in line["message"]]
        assert line["level"] == "warning"
    client.close()


def test_a_key_from_outside_opens_everything_and_is_in_no_log(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(f"{BOOTSTRAP}\n")
    process, client = exposed(tmp_path, TANDEM_API_KEY_FILE=str(file))
    with process:
        wait_until(lambda: status(client, BOOTSTRAP) == 200, "keyword search answers")
        assert status(client, None) == 401
        made_key = client.http.post(
            "/v1/admin/keys", json={"name": "a", "role": "search"}, headers={"api-key": BOOTSTRAP}
        )
        assert made_key.status_code == 201
        assert BOOTSTRAP not in process.log_text()
        assert made_key.json()["key"] not in process.log_text()
    client.close()
    # Without the setting, access control stays on.
    process, client = gateway_process(tmp_path, tmp_path / "data", "http://127.0.0.1:9", name="second")
    with process:
        assert [status(client, key) for key in (None, BOOTSTRAP)] == [401, 401]
    client.close()


@pytest.mark.parametrize(
    "content", ["", "too-short", "x" * 600, "a key with spaces that is long enough", "\u00e9" * 40]
)
def test_a_file_without_a_usable_key_ends_the_start_and_is_not_shown(tmp_path: Path, content: str) -> None:
    file = tmp_path / "key"
    file.write_text(content)
    process, client = exposed(tmp_path, TANDEM_API_KEY_FILE=str(file))
    client.close()
    assert process.start().wait_exit() == 2
    assert "TANDEM_API_KEY_FILE" in process.log_text()
    assert not content or content not in process.log_text()


def test_a_backup_brings_the_keys_back(gateway: tuple[ServiceProcess, Client, Path], tmp_path: Path) -> None:
    process, client, data_dir = gateway
    key = made(data_dir, "create", "--name", "kept", "--role", "search")
    command = [
        sys.executable,
        "-m",
        "tandem_gateway",
        "backup",
        "--data-dir",
        str(data_dir),
        "--to",
        str(tmp_path / "b"),
    ]
    done = subprocess.run(command, env=inherited_environment(), capture_output=True, text=True, check=True)
    assert "1 API keys" in done.stdout
    restored = tmp_path / "restored"
    restored.mkdir(mode=0o700)
    os.rename(tmp_path / "b", restored / "tandem.sqlite3")
    for name in ("access.db", "access.secret"):
        os.rename(tmp_path / f"b.{name}", restored / name)
    second, other = gateway_process(tmp_path, restored, "http://127.0.0.1:9", name="restored")
    with second:
        wait_until(lambda: status(other, key) == 200, "keyword search answers")
        assert status(other, None) == 401
    other.close()
    del process, client


def test_probes_need_no_key(gateway: tuple[ServiceProcess, Client, Path]) -> None:
    _, client, data_dir = gateway
    made(data_dir, "create", "--name", "first", "--role", "search")
    wait_until(lambda: status(client, None) == 401, "access control is on")
    assert {get(f"{client.url}/{path}")[0] for path in ("livez", "readyz", "healthz", "metrics")} == {200}
    assert client.health().document_count is None


def test_changes_by_the_command_line_are_in_the_audit_log_of_the_gateway(
    gateway: tuple[ServiceProcess, Client, Path],
) -> None:
    _, client, data_dir = gateway
    key = made(data_dir, "create", "--name", "first", "--role", "search")
    wait_until(lambda: status(client, None) == 401, "the first key switches access control on")
    made(data_dir, "rotate", id_of(key))
    assert keys(data_dir, "revoke", "no-such-key").returncode == 1
    assert keys(data_dir, "list").returncode == 0

    def lines() -> list[dict[str, object]]:
        return [json.loads(line) for line in (data_dir / "audit.log").read_text().splitlines()]

    wait_until(lambda: any(line["status"] == 401 for line in lines()), "the refused search is recorded")
    by_command = [line for line in lines() if line["principal"] == "command-line"]
    assert [(line["action"], line["outcome"], line["code"]) for line in by_command] == [
        ("create_key", "done", None),
        ("rotate_key", "done", None),
        ("revoke_key", "failed", "not_found"),
    ]
    assert [line["key_id"] for line in by_command] == [id_of(key), id_of(key), "no-such-key"]
    assert key not in (data_dir / "audit.log").read_text()


@pytest.mark.parametrize("target", ["stdout", "off"])
def test_the_text_of_a_key_stays_alone_on_standard_output(tmp_path: Path, target: str) -> None:
    command = [sys.executable, "-m", "tandem_gateway", "--audit-log", target, "keys", "create", "--name", "a"]
    done = subprocess.run(
        [*command, "--role", "search", "--data-dir", str(tmp_path)],
        env=inherited_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert len(done.stdout.splitlines()) == 1
    assert ('"create_key"' in done.stderr) == (target != "off")
    assert not (tmp_path / "audit.log").exists()
