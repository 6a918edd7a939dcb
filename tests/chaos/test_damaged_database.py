"""The gateway refuses a damaged database or log with one clear line, or the damage changes no answer."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tandem_gateway.errors import StorageCorrupt, for_log
from tests.support.damage import DAMAGES, DATABASE, Damage, answers, copy_of, flip, truncate
from tests.support.maintenance import maintain
from tests.support.samples import Sample, Samples
from tests.support.stack import gateway_process

WAL = f"{DATABASE}-wal"


def refused(sample: Sample, data_dir: Path, damage: Callable[[Path], None], name: str = DATABASE) -> bool:
    """Damage a file of a fresh copy and start; return whether the start fails. If not, answers must be unchanged."""
    copy_of(sample.data_dir, data_dir)
    damage(data_dir / name)
    try:
        found, _ = answers(data_dir, sample.questions)
    except StorageCorrupt as error:
        said = for_log(error)
    else:
        assert found == sample.answers
        return False
    assert str(data_dir / DATABASE) in said
    assert "\n" not in said
    return True


def test_flipped_bytes_of_the_database(samples: Samples, tmp_path: Path) -> None:
    sample = samples.stopped
    size = (sample.data_dir / DATABASE).stat().st_size
    positions = [*range(100), *random.Random(5).sample(range(100, size), 200)]
    hit = [
        refused(sample, tmp_path / "data", lambda path, position=position: flip(path, position))
        for position in positions
    ]
    assert sum(hit) > len(hit) / 4  # most of the remaining bytes are unused space


def test_a_single_flipped_bit_of_a_vector_or_text_is_noticed(samples: Samples, tmp_path: Path) -> None:
    sample = samples.stopped
    content = (sample.data_dir / DATABASE).read_bytes()
    text = content.rindex(sample.texts[30].encode())
    for position in (text, text + 5, text + 200, text + 1000):  # metadata and vector come after the text
        assert refused(sample, tmp_path / "data", lambda path, position=position: flip(path, position, 0x01)), position


def test_a_truncated_database(samples: Samples, tmp_path: Path) -> None:
    sample = samples.stopped
    size = (sample.data_dir / DATABASE).stat().st_size
    for length in (0, 1, 50, 100, 4095, 4096, size // 3, size // 2, size - 4096):
        assert refused(sample, tmp_path / "data", lambda path, length=length: truncate(path, length)), length


def test_a_database_without_its_last_bytes(samples: Samples, tmp_path: Path) -> None:
    """The bytes may be the end of unused space, which SQLite reads as zeros; then no answer changes."""
    sample = samples.stopped
    size = (sample.data_dir / DATABASE).stat().st_size
    cut = [
        refused(sample, tmp_path / "data", lambda path, length=size - lost: truncate(path, length))
        for lost in (1, 10, 100, 1000, 4095)
    ]
    assert cut[-1]


def test_a_missing_database(samples: Samples, tmp_path: Path) -> None:
    for sample in (samples.stopped, samples.killed):
        assert refused(sample, tmp_path / "data", Path.unlink)


def test_flipped_bytes_of_the_log(samples: Samples, tmp_path: Path) -> None:
    sample = samples.killed
    size = (sample.data_dir / WAL).stat().st_size
    positions = [*range(0, 56, 3), *random.Random(6).sample(range(56, size), 100)]
    hit = [
        refused(sample, tmp_path / "data", lambda path, position=position: flip(path, position), WAL)
        for position in positions
    ]
    assert sum(hit) > len(hit) / 2


def test_a_truncated_log(samples: Samples, tmp_path: Path) -> None:
    sample = samples.killed
    size = (sample.data_dir / WAL).stat().st_size
    for length in (0, 31, 32, 33, size // 4, size // 2, size - 4120, size - 1):
        assert refused(sample, tmp_path / "data", lambda path, length=length: truncate(path, length), WAL), length


def test_a_lost_log_is_noticed(samples: Samples, tmp_path: Path) -> None:
    assert refused(samples.killed, tmp_path / "data", Path.unlink, WAL)


def test_an_intact_log_is_replayed(samples: Samples, tmp_path: Path) -> None:
    assert not refused(samples.killed, tmp_path / "data", lambda path: None, WAL)


CASES: dict[str, tuple[str, Damage]] = {
    **{f"database: {name}": (DATABASE, DAMAGES[name]) for name in ("first byte flipped", "half of it", "missing")},
    "log: missing": (WAL, DAMAGES["missing"]),
}


@pytest.mark.parametrize(("name", "damage"), CASES.values(), ids=CASES.keys())
def test_the_start_is_refused_with_status_1_and_one_line(
    samples: Samples, tmp_path: Path, name: str, damage: Damage
) -> None:
    sample = samples.killed if name == WAL else samples.stopped
    data_dir = copy_of(sample.data_dir, tmp_path / "data")
    damage(data_dir / name)
    process, client = gateway_process(tmp_path, data_dir, "http://127.0.0.1:9")
    client.close()
    try:
        assert process.start().wait_exit() == 1
    finally:
        process.close()
    (line,) = [line for line in process.log_lines() if line["level"] not in ("info", "debug")]
    assert (line["level"], line["message"]) == ("critical", "the gateway cannot start")
    assert str(data_dir / DATABASE) in line["error"]
    assert "exception" not in line
    verified = maintain("verify", data_dir)
    assert verified.returncode == 1
    assert DATABASE in verified.stderr
    assert len(verified.stderr.splitlines()) == 1
