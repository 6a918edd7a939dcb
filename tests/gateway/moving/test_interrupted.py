"""A move that is killed at any moment leaves nothing that a gateway serves half, and runs again."""

from pathlib import Path

import pytest

from tandem_gateway.adapters.postgres.connection import connect
from tandem_gateway.adapters.sqlite.connection import close_whole
from tandem_gateway.adapters.sqlite.opening import open_checked
from tandem_gateway.composition import stores
from tandem_gateway.errors import StorageUnavailable
from tandem_gateway.settings import Settings
from tests.gateway.moving.stores_to_move import command, content, move
from tests.support.postgres_check import find_damage


def test_a_killed_move_to_postgres_runs_again(directory: Path, tmp_path: Path, url: str):
    before = content(directory)
    killed = command(directory, url, "move", "--to", "postgres", at="row", after=3500)
    assert killed.returncode == -9, killed.stderr
    assert "on both sides" in killed.stdout  # it was comparing
    refused = command(tmp_path / "gateway", url)
    assert refused.returncode == 1
    unfinished = r"a move into the database has not ended: run `python -m tandem_gateway move --to postgres` again"
    assert unfinished in refused.stderr
    given = Settings(data_dir=tmp_path / "gateway", store_url=url)
    for open_part in (stores.open_keys, stores.open_feed):
        with pytest.raises(StorageUnavailable, match=unfinished):
            open_part(given)
    with pytest.raises(StorageUnavailable, match=unfinished):
        move(tmp_path / "target", url, "directory")
    move(directory, url, "postgres")
    assert find_damage(url) == []
    stores.open_keys(given).close()
    move(tmp_path / "target", url, "directory")
    assert content(tmp_path / "target") == content(directory) == before


def test_a_move_to_postgres_can_be_given_up(directory: Path, tmp_path: Path, url: str):
    with connect(url) as connection:  # all that a killed move leaves
        connection.execute("INSERT INTO moved (origin) VALUES ('a')")
    assert move(directory, url, "postgres", discard=True) == ["the unfinished move was given up: the target is empty"]
    stores.open_keys(Settings(data_dir=tmp_path, store_url=url)).close()
    move(directory, url, "postgres")
    assert move(directory, url, "postgres", discard=True) == ["no move is unfinished"]
    stores.open_keys(Settings(data_dir=tmp_path, store_url=url)).close()


def test_a_killed_move_to_a_directory_runs_again(moved: str, tmp_path: Path, made_once: Path):
    target = tmp_path / "target"
    for at, after in {"link": 3, "row": 3500}.items():
        killed = command(target, moved, "move", "--to", "directory", at=at, after=after)
        assert killed.returncode == -9, killed.stderr
        with pytest.raises(StorageUnavailable, match=r"a move into .* has not ended"):
            open_checked(target)
        with pytest.raises(StorageUnavailable, match=r"a move into .* has not ended"):
            stores.open_keys(Settings(data_dir=target))
        if at == "link":
            assert (target / "access.db").exists()
            move(target, moved, "directory", discard=True)
            assert [path.name for path in target.iterdir() if path.suffix != ".lock"] == []
    refused = command(target, "")
    assert refused.returncode == 1
    assert f"a move into {target} has not ended: run `python -m tandem_gateway move --to directory`" in refused.stderr
    move(target, moved, "directory")
    assert content(target) == content(made_once)


def test_a_move_that_was_killed_after_its_end_has_ended(moved: str, tmp_path: Path):
    target = tmp_path / "target"
    # What is left of an earlier move goes first.
    killed = command(target, moved, "move", "--to", "directory", at="remove", after=1)
    assert killed.returncode == -9, killed.stderr
    assert (target / "moved").exists()
    connection, notices = open_checked(target)
    close_whole(connection)
    assert notices == []
    assert not (target / "moved").exists()


def test_a_store_that_is_there_by_now_is_not_touched(moved: str, tmp_path: Path, made_once: Path):
    """A folder of an unfinished move does not let a later one remove what somebody has put there since."""
    target = tmp_path / "target"
    (target / "moving").mkdir(parents=True)
    (target / "moving" / "tandem.sqlite3").write_bytes(b"unfinished")
    (target / "tandem.sqlite3").write_bytes((made_once / "tandem.sqlite3").read_bytes())
    with pytest.raises(StorageUnavailable, match=r"is not empty: it holds tandem\.sqlite3"):
        move(target, moved, "directory")
    assert (target / "tandem.sqlite3").read_bytes() == (made_once / "tandem.sqlite3").read_bytes()
