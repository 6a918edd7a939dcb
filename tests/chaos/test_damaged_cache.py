"""Every file of the data directory except the database may be damaged or lost: the next start repairs it."""

from pathlib import Path

import pytest

from tests.support.damage import DAMAGES, DATABASE, Damage, answers, copy_of, flip, truncate
from tests.support.maintenance import assert_sound, maintain
from tests.support.processes import ServiceProcess
from tests.support.samples import RESTLESS, SMALL_GRAPHS, Sample, Samples
from tests.support.stack import gateway_process, service_url, wait_until

LEXICAL = "lexical.sqlite3"
SPARE = ("gateway.lock", "snapshot.lock", "clean-stop.json")
"""Files that hold nothing. Without a valid record of a clean stop, the start checks every row."""
REBUILT = "is rebuilt from the store"
MARK_WRITTEN = "committed was missing or damaged and is written again"


def files_beside_the_database(data_dir: Path) -> list[Path]:
    return sorted(path for path in data_dir.rglob("*") if path.is_file() and not path.name.startswith(DATABASE))


def test_the_sample_has_every_kind_of_file(samples: Samples) -> None:
    paths = files_beside_the_database(samples.stopped.data_dir)
    kinds = sorted(path.suffix or path.name for path in paths)
    assert kinds == [
        ".json",
        ".json",
        ".json",
        ".lock",
        ".lock",
        ".npz",
        ".npz",
        ".sqlite3",
        ".usearch",
        ".usearch",
        "committed",
    ]
    assert answers(copy_of(samples.stopped.data_dir, paths[0].parents[2] / "intact"), samples.stopped.questions) == (
        samples.stopped.answers,
        [],
    )


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_file_is_repaired_and_answers_are_the_same(samples: Samples, tmp_path: Path, damage: Damage) -> None:
    sample = samples.stopped
    for original in files_beside_the_database(sample.data_dir):
        data_dir = copy_of(sample.data_dir, tmp_path / "data")
        damaged = data_dir / original.relative_to(sample.data_dir)
        damage(damaged)
        found, notices = answers(data_dir, sample.questions)
        assert found == sample.answers, damaged
        if damaged.name in SPARE:
            assert notices == [], damaged
        elif damaged.name == LEXICAL:  # a start does not read the whole file; a search finds the rest of the damage
            assert [REBUILT in line for line in notices] in ([], [True]), damaged
        else:
            said = MARK_WRITTEN if damaged.name == "committed" else REBUILT
            assert len(notices) == 1, (damaged, notices)
            assert said in notices[0], damaged
        assert answers(data_dir, sample.questions)[0] == sample.answers, f"{damaged}, at the second start"


def test_every_byte_of_a_manifest_counts(samples: Samples, tmp_path: Path) -> None:
    sample = samples.stopped
    data_dir = copy_of(sample.data_dir, tmp_path / "data")
    manifest = sorted(data_dir.rglob("manifest.json"))[0]
    intact = manifest.read_bytes()
    for position in range(0, len(intact), 7):
        manifest.write_bytes(intact)
        flip(manifest, position, 0x01)
        found, notices = answers(data_dir, sample.questions)
        assert found == sample.answers, position
        assert len(notices) == 1, (position, notices)
        assert REBUILT in notices[0], position


def test_orphans_in_the_index_folder_are_removed(samples: Samples, tmp_path: Path) -> None:
    data_dir = copy_of(samples.stopped.data_dir, tmp_path / "data")
    copy_of(data_dir / "index" / "1", data_dir / "index" / "77")
    (data_dir / "index" / "note.txt").write_text("what is this?")
    found, notices = answers(data_dir, samples.stopped.questions)
    assert found == samples.stopped.answers
    assert len(notices) == 2
    assert sorted(path.name for path in (data_dir / "index").iterdir()) == ["1", "2"]


def test_the_shared_memory_file_is_recreated(samples: Samples, tmp_path: Path) -> None:
    sample = samples.killed
    for name, damage in DAMAGES.items():
        data_dir = copy_of(sample.data_dir, tmp_path / "data")
        damage(data_dir / f"{DATABASE}-shm")
        assert answers(data_dir, sample.questions)[0] == sample.answers, name


def everything_flipped(data_dir: Path) -> None:
    for path in files_beside_the_database(data_dir):
        flip(path, path.stat().st_size // 2)


def everything_cut(data_dir: Path) -> None:
    for path in files_beside_the_database(data_dir):
        truncate(path, path.stat().st_size // 2)


def everything_gone(data_dir: Path) -> None:
    for path in files_beside_the_database(data_dir):
        path.unlink()


@pytest.mark.parametrize("damage", [everything_flipped, everything_cut, everything_gone])
def test_a_gateway_with_all_of_them_damaged_starts_reports_it_and_finds_all(
    samples: Samples, embedder: ServiceProcess, tmp_path: Path, damage: Damage
) -> None:
    sample: Sample = samples.stopped
    data_dir = copy_of(sample.data_dir, tmp_path / "data")
    damage(data_dir)
    process, client = gateway_process(tmp_path, data_dir, service_url(embedder), env=RESTLESS)
    try:
        with process:
            repairs = [line for line in process.log_lines() if line["message"] == "repaired at the start"]
            repaired = sorted(line["repair"].split(" ")[0] for line in repairs)
            assert [name for name in repaired if name != LEXICAL] == ["committed", "index", "index"]
            assert {line["level"] for line in repairs} == {"warning"}
            assert client.metric("tandem_gateway_index_repairs_total") == len(repairs)
            for collection in ("default", "second"):
                for number, text in enumerate(sample.texts[11:59], 11):
                    assert client.found(text, 1, collection) == [f"doc-{number}"]
            # Intact snapshots replace the damaged ones, although nothing has changed.
            wait_until(lambda: client.metric("tandem_gateway_snapshots_total", {"outcome": "saved"}), "new snapshots")
    finally:
        client.close()
        process.close()
    if LEXICAL not in repaired:  # a start does not read the whole file
        assert maintain("rebuild", data_dir, settings=SMALL_GRAPHS).returncode == 0
    assert_sound(data_dir)


def test_verify_tells_of_a_damaged_snapshot_and_rebuild_mends_it(samples: Samples, tmp_path: Path) -> None:
    data_dir = copy_of(samples.stopped.data_dir, tmp_path / "data")
    assert_sound(data_dir)
    flip(next(data_dir.rglob("*.usearch")), 1000)
    found = maintain("verify", data_dir)
    assert found.returncode == 1
    assert "checksum is wrong" in found.stdout
    assert "agrees and finds all" in found.stdout  # the other collection's file
    mended = maintain("rebuild", data_dir, settings=SMALL_GRAPHS)
    assert (mended.returncode, mended.stderr) == (0, "")
    assert mended.stdout.splitlines()[-2:] == ["rebuilt: 2 indexes", "keyword index: rebuilt, 116 passages"]
    sound = maintain("verify", data_dir)
    assert sound.returncode == 0
    assert sound.stdout.count("index: agrees and finds all 58 vectors") == 2
    assert sound.stdout.count("(from its snapshot, 0 changes newer)") == 2
    assert answers(data_dir, samples.stopped.questions) == (samples.stopped.answers, [])


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_verify_tells_of_a_damaged_lexical_index_and_rebuild_mends_it(
    samples: Samples, tmp_path: Path, damage: Damage
) -> None:
    data_dir = copy_of(samples.stopped.data_dir, tmp_path / "data")
    damage(data_dir / LEXICAL)
    found = maintain("verify", data_dir)
    assert found.stderr == ""
    agrees = "keyword index: agrees with the store up to passage " in found.stdout
    none_yet = "keyword index: there is none yet" in found.stdout
    assert found.returncode == (0 if agrees or none_yet else 1)
    assert agrees or none_yet or "run `python -m tandem_gateway rebuild`" in found.stdout
    assert maintain("rebuild", data_dir).returncode == 0
    assert_sound(data_dir)
