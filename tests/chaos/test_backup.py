"""A backup during an ingest holds everything acknowledged before it, and a new gateway starts on it."""

import fcntl
import os
import shutil
from pathlib import Path

import pytest

from tandem_gateway.adapters.sqlite.commit_watermark import CommitWatermark
from tests.support.damage import flip
from tests.support.ingesting import RetryingClients, assert_all_found_once, in_batches
from tests.support.maintenance import maintain
from tests.support.stack import Stack, gateway_process, wait_until
from tests.support.texts import distinct_texts

STORE = "tandem.sqlite3"
BATCH = 20


def test_a_backup_beside_a_busy_gateway_is_restored(model_dir: Path, tmp_path: Path) -> None:
    batches = in_batches(distinct_texts(600), BATCH)
    before, after = batches[:15], batches[15:]
    backup = tmp_path / "backup.sqlite3"
    with Stack(tmp_path, model_dir) as stack:
        for batch in before:
            stack.client.ingest(batch)
        with RetryingClients(stack.client, after, allowed=0) as clients:
            clients.allow(len(after))  # the clients write during the backup
            done = maintain("backup", stack.data_dir, "--to", backup)
            clients.join()
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(f"backed up: {backup}: 1 collections, ")
        assert list(tmp_path.glob("*backup*")) == [backup]  # one file, and no partial copy
        restored = tmp_path / "restored"
        restored.mkdir()
        shutil.copy(backup, restored / STORE)
        verified = maintain("verify", restored)
        assert verified.returncode == 0, verified.stdout + verified.stderr
        assert "store: sound\n" in verified.stdout
        gateway, client = gateway_process(tmp_path, restored, stack.embedder_url, name="restored")
        with gateway:
            # Documents that were pending during the backup are embedded now.
            wait_until(lambda: client.health().pending_documents == 0, "nothing waits any more", 120)
            documents = [document for batch in before for document in batch]
            assert client.health().document_count >= len(documents)
            assert_all_found_once(client, documents[::10])
        client.close()


@pytest.fixture
def data_dir(model_dir: Path, tmp_path: Path) -> Path:
    """The data directory of a stopped gateway."""
    with Stack(tmp_path, model_dir) as stack:
        stack.client.ingest_and_wait([{"id": str(number), "text": f"text {number} " * 50} for number in range(50)])
    return stack.data_dir


def test_a_damaged_store_is_not_backed_up(data_dir: Path, tmp_path: Path) -> None:
    backup = tmp_path / "backup.sqlite3"
    kept = maintain("backup", data_dir, "--to", backup)
    assert kept.returncode == 0, kept.stderr
    again = maintain("backup", data_dir, "--to", backup)
    assert again.returncode == 1
    assert "is there already" in again.stderr
    nowhere = maintain("backup", data_dir, "--to", tmp_path / "no" / "such" / "folder")
    assert nowhere.returncode == 1
    assert len(nowhere.stderr.splitlines()) == 1
    flip(data_dir / STORE, (data_dir / STORE).read_bytes().index(b"text 25 text 25"))
    damaged = maintain("backup", data_dir, "--to", tmp_path / "second.sqlite3")
    assert damaged.returncode == 1
    assert STORE in damaged.stderr
    assert not list(tmp_path.glob("*second*"))


def test_a_store_that_lost_commits_is_not_backed_up(data_dir: Path, tmp_path: Path) -> None:
    old = tmp_path / "old.sqlite3"
    assert maintain("backup", data_dir, "--to", old).returncode == 0
    number = int.from_bytes((data_dir / "committed").read_bytes()[:8], "little")
    lost = tmp_path / "lost"
    lost.mkdir()
    shutil.copy(old, lost / STORE)
    mark = CommitWatermark(lost / "committed")
    mark.write(number + 1)
    mark.close()
    done = maintain("backup", lost, "--to", tmp_path / "third.sqlite3")
    assert done.returncode == 1
    assert f"commit {number + 1} was acknowledged" in done.stderr
    assert not list(tmp_path.glob("*third*"))


def test_the_next_backup_removes_the_rest_of_a_killed_one(data_dir: Path, tmp_path: Path) -> None:
    backups = tmp_path / "backups"
    backups.mkdir()
    mine = [".monday.sqlite3.123.partial", ".monday.sqlite3.123.partial-journal"]
    others = [".partial", "monday.123.partial", ".monday.sqlite3.partial", "monday.sqlite3"]
    for name in (*mine, *others, ".busy.sqlite3.1.partial"):
        (backups / name).write_bytes(b"left over")
    (backups / ".folder.1.partial").mkdir()
    with (backups / ".busy.sqlite3.1.partial").open("rb") as busy:
        fcntl.flock(busy, fcntl.LOCK_EX)  # as a running backup holds the lock
        done = maintain("backup", data_dir, "--to", backups / "tuesday.sqlite3")
    assert done.returncode == 0, done.stderr
    left = {path.name for path in backups.iterdir()}
    assert left == {*others, ".busy.sqlite3.1.partial", ".folder.1.partial", "tuesday.sqlite3"}


def test_other_users_can_read_neither_data_nor_copies(model_dir: Path, tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        with Stack(
            tmp_path, model_dir, gateway_env={"TANDEM_SNAPSHOT_SECONDS": "0.1", "TANDEM_EXACT_BELOW": "1"}
        ) as stack:
            stack.client.ingest_and_wait([{"id": str(number), "text": f"text {number}"} for number in range(20)])
            wait_until(lambda: list(stack.data_dir.glob("index/*/*.usearch")), "a snapshot")
            assert maintain("backup", stack.data_dir, "--to", tmp_path / "backup.sqlite3").returncode == 0
            found = [stack.data_dir, tmp_path / "backup.sqlite3", *stack.data_dir.rglob("*")]
            modes = {str(path): oct(path.stat().st_mode & 0o077) for path in found}
            assert len(modes) > 8
            assert set(modes.values()) == {"0o0"}, modes
            stack.data_dir.chmod(0o755)
            (stack.data_dir / STORE).chmod(0o644)
            stack.gateway.terminate()
            stack.gateway.start().wait_ready()
            assert stack.data_dir.stat().st_mode & 0o777 == 0o700
            assert (stack.data_dir / STORE).stat().st_mode & 0o777 == 0o600
            told = [line for line in stack.gateway.log_lines() if line["message"].startswith("other users could")]
            assert [line["path"] for line in told] == [str(stack.data_dir / STORE), str(stack.data_dir)]
    finally:
        os.umask(before)
