"""The gateway refuses a damaged store: it never serves, silently shrinks or overwrites it."""

import random
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tandem_gateway.adapters.sqlite import migrations, schema
from tandem_gateway.adapters.sqlite.backup import back_up
from tandem_gateway.adapters.sqlite.commit_watermark import FILE_NAME as MARK_NAME
from tandem_gateway.adapters.sqlite.commit_watermark import CommitWatermark, read_mark
from tandem_gateway.adapters.sqlite.connection import FILE_NAME
from tandem_gateway.adapters.sqlite.opening import _create, open_checked
from tandem_gateway.errors import StorageCorrupt, StorageUnavailable
from tests.gateway.store.damage import Dump, copy, make_closed, make_killed, opening
from tests.support.stores import dump, opened

PAGE = 4096
SAMPLES = 400
WAL_SAMPLES = 120


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Dump]:
    """A closed store: the database's file has all commits."""
    folder = tmp_path_factory.mktemp("closed") / "data"
    return folder, make_closed(folder)


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Dump]:
    """A store whose process was killed: nearly all commits are only in the log."""
    root = tmp_path_factory.mktemp("killed")
    return root / "data", make_killed(root / "data", root / "scratch")


def flip(path: Path, place: int, bit: int) -> None:
    with path.open("r+b") as file:
        file.seek(place)
        (byte,) = file.read(1)
        file.seek(place)
        file.write(bytes([byte ^ (1 << bit)]))


def test_the_sample_has_some_of_everything(closed: tuple[Path, Dump]):
    _, content = closed
    assert all(content.values())
    assert len(content["documents"]) == 29


def test_an_undamaged_store_opens_with_all_it_had(closed: tuple[Path, Dump], killed: tuple[Path, Dump], tmp_path: Path):
    for folder, content in (closed, killed):
        assert opening(copy(folder, tmp_path / "data")) == content


def places(size: int) -> list[tuple[int, int]]:
    """(place, bit) to flip: in the file's header, in each page's header, and at random places; the bit is random."""
    chance = random.Random(20)
    headers = [page + offset for page in range(0, size, PAGE) for offset in (0, 3, 5)]
    anywhere = [chance.randrange(size) for _ in range(SAMPLES)]
    return [(place, chance.randrange(8)) for place in [*range(100), *headers, *anywhere]]


def test_a_flipped_bit_anywhere_in_the_database_is_refused_or_means_nothing(closed: tuple[Path, Dump], tmp_path: Path):
    folder, content = closed
    size = (folder / FILE_NAME).stat().st_size
    refused = 0
    for place, bit in places(size):
        data = copy(folder, tmp_path / "data")
        flip(data / FILE_NAME, place, bit)
        outcome = opening(data)
        if isinstance(outcome, str):
            refused += 1
            assert FILE_NAME in outcome
        else:
            assert outcome == content, f"bit {bit} of byte {place} changed what is served"
    assert refused > SAMPLES / 4


def test_every_bit_of_a_documents_row_is_covered(closed: tuple[Path, Dump], tmp_path: Path):
    folder, content = closed
    whole = (folder / FILE_NAME).read_bytes()
    row = whole.index(b"text 9 text 9")
    number = next(entry[0] for entry in content["documents"] if str(entry[3]).startswith("text 9 "))
    vector = next(entry[3] for entry in content["vectors"] if entry[0] == number)
    assert isinstance(vector, bytes)
    for place in [*range(row - 6, row + 12), *range(at := whole.index(vector), at + len(vector))]:
        data = copy(folder, tmp_path / "data")
        flip(data / FILE_NAME, place, place % 8)
        assert isinstance(opening(data), str), f"byte {place}"


@pytest.mark.parametrize("keep", [1, 99, 100, 512, PAGE - 1, PAGE, PAGE + 1, 3 * PAGE, -PAGE, -1])
def test_a_truncated_database_is_refused(closed: tuple[Path, Dump], tmp_path: Path, keep: int):
    data = copy(closed[0], tmp_path / "data")
    content = (data / FILE_NAME).read_bytes()
    (data / FILE_NAME).write_bytes(content[:keep])
    outcome = opening(data)
    # SQLite reads the missing end of the last page as zeros; if it was zeros, no data is missing.
    harmless = len(content[keep:]) < PAGE and not any(content[keep:])
    assert outcome == closed[1] if harmless else isinstance(outcome, str)


@pytest.mark.parametrize("how", ["empty", "missing"])
def test_an_empty_or_missing_database_is_refused_if_the_mark_records_commits(
    closed: tuple[Path, Dump], tmp_path: Path, how: str
):
    data = copy(closed[0], tmp_path / "data")
    (data / FILE_NAME).unlink()
    if how == "empty":
        (data / FILE_NAME).touch()
    outcome = opening(data)
    assert isinstance(outcome, str)
    assert "was acknowledged" in outcome
    assert (data / FILE_NAME).exists() == (how == "empty")
    assert MARK_NAME in outcome


def test_an_older_copy_of_the_database_is_refused_until_the_mark_is_deleted(closed: tuple[Path, Dump], tmp_path: Path):
    folder, content = closed
    data = copy(folder, tmp_path / "data")
    mark = CommitWatermark(data / MARK_NAME)
    mark.write((read_mark(data / MARK_NAME) or 0) + 1)
    mark.close()
    assert isinstance(opening(data), str)
    (data / MARK_NAME).unlink()
    assert opening(data) == content


def test_a_flipped_bit_in_the_log_is_refused_or_means_nothing(killed: tuple[Path, Dump], tmp_path: Path):
    folder, content = killed
    size = (folder / f"{FILE_NAME}-wal").stat().st_size
    chance = random.Random(21)
    frames = [32 + frame * (PAGE + 24) + 8 for frame in range(0, (size - 32) // (PAGE + 24), 9)]
    refused = 0
    for place in [*range(32), *frames, *(chance.randrange(size) for _ in range(WAL_SAMPLES))]:
        data = copy(folder, tmp_path / "data")
        flip(data / f"{FILE_NAME}-wal", place, chance.randrange(8))
        outcome = opening(data)
        if isinstance(outcome, str):
            refused += 1
        else:
            assert outcome == content, f"byte {place} of the log"
    assert refused > WAL_SAMPLES


def test_a_truncated_or_missing_log_is_refused(killed: tuple[Path, Dump], tmp_path: Path):
    folder, _ = killed
    size = (folder / f"{FILE_NAME}-wal").stat().st_size
    for keep in (0, 1, 32, 33, 32 + PAGE + 24, size // 3, size // 2, size - PAGE - 24, size - 1):
        data = copy(folder, tmp_path / "data")
        log = data / f"{FILE_NAME}-wal"
        log.write_bytes(log.read_bytes()[:keep])
        assert isinstance(opening(data), str), f"{keep} of {size} bytes"
    data = copy(folder, tmp_path / "data")
    (data / f"{FILE_NAME}-wal").unlink()
    assert isinstance(opening(data), str)


def test_a_refused_log_stays_unchanged_for_a_recovery(killed: tuple[Path, Dump], tmp_path: Path):
    folder, _ = killed
    data = copy(folder, tmp_path / "data")
    log = data / f"{FILE_NAME}-wal"
    flip(data / log.name, log.stat().st_size // 2, 0)
    before = (log.read_bytes(), (data / FILE_NAME).read_bytes())
    assert isinstance(opening(data), str)
    assert (log.read_bytes(), (data / FILE_NAME).read_bytes()) == before


@pytest.mark.parametrize("damage", ["gone", "flipped", "short", "long", "empty"])
def test_a_damaged_mark_is_detected_and_rewritten(closed: tuple[Path, Dump], tmp_path: Path, damage: str):
    folder, content = closed
    data = copy(folder, tmp_path / "data")
    path = data / MARK_NAME
    whole = path.read_bytes()
    if damage == "flipped":
        flip(path, 3, 1)
    else:
        path.unlink()
        if damage != "gone":
            path.write_bytes({"short": whole[:5], "long": whole + b"\x00", "empty": b""}[damage])
    connection, notices = open_checked(data)
    connection.close()
    assert len(notices) == 1
    assert MARK_NAME in notices[0]
    assert dump(data) == content
    with opened(data):
        pass
    assert path.read_bytes() == whole
    connection, notices = open_checked(data)
    connection.close()
    assert notices == []


def test_every_damaged_bit_of_the_mark_is_seen(closed: tuple[Path, Dump], tmp_path: Path):
    path = tmp_path / "mark"
    shutil.copyfile(closed[0] / MARK_NAME, path)
    number = read_mark(path)
    assert number is not None
    assert number > 0
    for place in range(path.stat().st_size):
        for bit in range(8):
            flip(path, place, bit)
            assert read_mark(path) is None
            flip(path, place, bit)
    assert read_mark(path) == number


def test_another_programs_database_is_refused_and_left_as_it_is(tmp_path: Path):
    path = tmp_path / FILE_NAME
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE precious (x)")
    connection.execute("INSERT INTO precious VALUES (1)")
    connection.commit()
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StorageCorrupt, match="no Tandem store"):
        open_checked(tmp_path)
    assert path.read_bytes() == before


def test_a_file_that_is_no_database_is_refused_and_left_unchanged(tmp_path: Path):
    (tmp_path / FILE_NAME).write_bytes(b"notes of mine\n" * 1000)
    with pytest.raises(StorageCorrupt):
        open_checked(tmp_path)
    assert (tmp_path / FILE_NAME).read_bytes() == b"notes of mine\n" * 1000


def changed(folder: Path, statement: str) -> Path:
    connection = sqlite3.connect(folder / FILE_NAME, isolation_level=None)
    schema.register(connection)
    connection.execute(statement)
    connection.close()
    return folder


@pytest.mark.parametrize("version", [0, migrations.VERSION + 1])
def test_a_store_of_another_version_is_refused_with_both_versions(
    closed: tuple[Path, Dump], tmp_path: Path, version: int
):
    outcome = opening(changed(copy(closed[0], tmp_path / "data"), f"PRAGMA user_version={version}"))
    assert isinstance(outcome, str)
    assert f"schema version {version}, this gateway reads 1 to {migrations.VERSION}" in outcome


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE collections SET live = live + 1", "counts"),
        ("UPDATE documents SET text = 'x' WHERE document_id = 10", "wrong checksum"),
        ("UPDATE jobs SET processed = processed - 1 WHERE job_id = 'one'", "jobs"),
        ("DELETE FROM waiting", "no job"),
        ("DELETE FROM documents WHERE live = 0", "not pending"),
        ("DELETE FROM identity", "id of its own"),
        ("DELETE FROM counters", "ends at commit"),
        (
            "UPDATE counters SET value = 1, checksum = row_checksum(name, 1) WHERE name = 'document'",
            "ahead of its counter",
        ),
        ("DROP TRIGGER documents_added", "tables"),
        ("CREATE TABLE more (x)", "tables"),
    ],
)
def test_inconsistent_rows_are_refused(closed: tuple[Path, Dump], tmp_path: Path, statement: str, said: str):
    outcome = opening(changed(copy(closed[0], tmp_path / "data"), statement))
    assert isinstance(outcome, str)
    assert said in outcome


@pytest.mark.parametrize("mode", ["WAL", "DELETE"])
def test_a_start_that_was_killed_before_its_first_commit_is_repeated(tmp_path: Path, mode: str):
    connection = sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)
    connection.execute(f"PRAGMA journal_mode={mode}")
    connection.execute("VACUUM")
    connection.close()
    with opened(tmp_path):
        assert [row[1] for row in dump(tmp_path)["collections"]] == ["default"]


def test_a_new_store_is_made_in_one_step(tmp_path: Path):
    connection, notices = open_checked(tmp_path)
    with closing(connection):
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
    assert notices == []
    # Before the commit the file has no content, whatever part of it reached the disk.
    making = sqlite3.connect(tmp_path / "made.sqlite3", isolation_level=None)
    schema.register(making)
    statements: list[str] = []
    making.set_trace_callback(statements.append)
    _create(making)
    making.close()
    begun = next(number for number, statement in enumerate(statements) if statement.startswith("BEGIN"))
    assert begun == 0
    assert statements[-1] == "COMMIT"
    assert not any(statement.startswith(("COMMIT", "END")) for statement in statements[:-1])


@pytest.mark.parametrize("mark", ["missing", "damaged"])
@pytest.mark.parametrize("log", ["whole", "missing", "empty"])
def test_a_store_that_was_in_use_is_refused_without_its_mark(
    killed: tuple[Path, Dump], tmp_path: Path, mark: str, log: str
):
    data = copy(killed[0], tmp_path / "data")
    if mark == "missing":
        (data / MARK_NAME).unlink()
    else:
        flip(data / MARK_NAME, 2, 2)
    if log == "missing":
        (data / f"{FILE_NAME}-wal").unlink()
    elif log == "empty":
        (data / f"{FILE_NAME}-wal").write_bytes(b"")
    before = (data / FILE_NAME).read_bytes()
    for _ in range(2):
        outcome = opening(data)
        assert isinstance(outcome, str)
        assert "commits may be missing" in outcome
        assert f"{MARK_NAME!r} beside it" in outcome
    assert (data / FILE_NAME).read_bytes() == before
    # The remaining data can be read.
    restored = tmp_path / "restored"
    restored.mkdir()
    back_up(data / FILE_NAME, restored / FILE_NAME)
    found = opening(restored)
    assert not isinstance(found, str)
    assert (found == killed[1]) == (log == "whole")


def test_a_first_start_has_a_mark_before_it_has_a_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    modes: list[str] = []

    def create_mark(path: Path, commit: int) -> None:
        connection = sqlite3.connect(tmp_path / FILE_NAME)
        modes.extend(connection.execute("PRAGMA journal_mode").fetchone())
        connection.close()
        raise KeyboardInterrupt

    with monkeypatch.context() as context:
        context.setattr("tandem_gateway.adapters.sqlite.commit_watermark.create_mark", create_mark)
        with pytest.raises(KeyboardInterrupt):
            open_checked(tmp_path)
    assert modes == ["delete"]
    assert not isinstance(opening(tmp_path), str)
    assert read_mark(tmp_path / MARK_NAME) == 0


def test_a_store_that_was_closed_has_no_log_in_use(closed: tuple[Path, Dump]):
    connection = sqlite3.connect(closed[0] / FILE_NAME)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    connection.close()
    assert sorted(path.name for path in closed[0].iterdir()) == [MARK_NAME, FILE_NAME]


def test_a_store_that_another_process_reads_is_closed_all_the_same(tmp_path: Path):
    with opened(tmp_path):
        other = sqlite3.connect(tmp_path / FILE_NAME)
        other.execute("SELECT count(*) FROM jobs").fetchone()
    other.close()
    assert not isinstance(opening(tmp_path), str)


def test_a_folder_in_place_of_the_mark_is_reported_in_one_line(closed: tuple[Path, Dump], tmp_path: Path):
    data, name = copy(closed[0], tmp_path / "data"), MARK_NAME
    (data / name).unlink()
    (data / name).mkdir()
    with pytest.raises(StorageUnavailable, match=rf"{data / name} cannot be read: Is a directory"):
        open_checked(data)
    with pytest.raises(StorageUnavailable, match=rf"{data / name} cannot be written: Is a directory"):
        CommitWatermark(data / name)
