"""A command that leaves no valid key says so."""

import argparse
from pathlib import Path

import pytest

from tandem_gateway import key_commands
from tandem_gateway.access.key_administration import KeyAdministration, NewKey
from tandem_gateway.adapters.memory.key_store import MemoryKeyStore


def run(data_dir: Path, *arguments: str) -> None:
    parser = argparse.ArgumentParser()
    key_commands.add_commands(parser.add_subparsers(), "program", "")
    key_commands.run(parser.parse_args(["keys", *arguments]), data_dir)


def test_a_revocation_of_the_last_valid_key_warns(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    ids = []
    for name in ("one", "two"):
        run(tmp_path, "create", "--name", name, "--role", "search")
        ids.append(capsys.readouterr().out.split("_")[1])
    run(tmp_path, "revoke", ids[0])
    assert "warning" not in capsys.readouterr().err
    run(tmp_path, "revoke", ids[1])
    assert "no stored key is valid now" in capsys.readouterr().err


def test_a_key_that_is_revoked_again_keeps_its_time():
    store, now = MemoryKeyStore(), 1000.0
    keys = KeyAdministration(store, lambda: now)
    key, _ = keys.create(NewKey("a key", "search"))
    first = keys.revoke(key.id)
    now += 60
    assert keys.revoke(key.id).revoked_at == first.revoked_at == 1000.0
