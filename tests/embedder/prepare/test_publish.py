"""A prepared model is published completely or not at all."""

import os
import threading
from pathlib import Path

import pytest

from tandem_embedder.model.prepared_model import FORMAT, Manifest, PreparedModelError, Source, Variant, record_of
from tandem_embedder.prepare.errors import PublishError
from tandem_embedder.prepare.locking import exclusive
from tandem_embedder.prepare.publish import check_replaceable, publish, read_complete, staging


def build(folder: Path, graph: bytes = b"graph") -> Manifest:
    (folder / "int8").mkdir()
    (folder / "int8/model.onnx").write_bytes(graph)
    (folder / "tokenizer.json").write_bytes(b"{}")
    (folder / "known_answers.json").write_bytes(b"{}")
    files = {"int8/model.onnx": record_of(folder / "int8/model.onnx")}
    return Manifest(
        format=FORMAT,
        model="m",
        dim=2,
        max_seq_length=8,
        pooling="mean",
        source=Source("folder", "x", {}),
        tokenizer=record_of(folder / "tokenizer.json"),
        known_answers=record_of(folder / "known_answers.json"),
        variants={"int8": Variant("int8/model.onnx", "f", "bert-int8/1", 0.99, files)},
        prepared_with={},
    )


def make(out: Path, graph: bytes = b"graph") -> Manifest:
    with staging(out) as staged:
        manifest = build(staged, graph)
        publish(staged, out, manifest)
    return manifest


def test_a_published_model_is_read_back_and_no_other_file_is_left(tmp_path: Path) -> None:
    out = tmp_path / "model"
    manifest = make(out)
    assert read_complete(out) == manifest
    assert os.listdir(tmp_path) == ["model"]
    assert out.stat().st_mode & 0o777 == 0o755


def test_an_older_one_is_replaced_whole(tmp_path: Path) -> None:
    out = tmp_path / "model"
    make(out, b"old")
    (out / "fp32").mkdir()
    make(out, b"new")
    assert (out / "int8/model.onnx").read_bytes() == b"new"
    assert not (out / "fp32").exists()
    assert os.listdir(tmp_path) == ["model"]


def test_an_empty_folder_is_no_artefact_and_no_obstacle(tmp_path: Path) -> None:
    out = tmp_path / "model"
    out.mkdir()
    assert read_complete(out) is None
    check_replaceable(out)
    make(out)
    assert read_complete(out) is not None


def test_a_failure_while_building_leaves_the_old_one(tmp_path: Path) -> None:
    out = tmp_path / "model"
    old = make(out, b"old")

    def interrupted() -> None:
        with staging(out) as staged:
            build(staged, b"new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert read_complete(out) == old
    assert os.listdir(tmp_path) == ["model"]


def test_a_rename_that_fails_puts_the_old_one_back(tmp_path: Path, monkeypatch) -> None:
    out = tmp_path / "model"
    old = make(out, b"old")
    rename = Path.rename

    def failing(self: Path, target: Path) -> Path:
        if target == out and "old" not in self.name:
            raise OSError(28, "No space left on device")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(PublishError, match="cannot be written: No space left"):
        make(out, b"new")
    assert read_complete(out) == old
    assert os.listdir(tmp_path) == ["model"]


def test_a_killed_preparations_folder_is_removed(tmp_path: Path) -> None:
    leftover = tmp_path / ".model.preparing-abc"
    leftover.mkdir()
    (leftover / "half").write_bytes(b"x")
    make(tmp_path / "model")
    assert os.listdir(tmp_path) == ["model"]


@pytest.mark.parametrize("name", ["tokenizer.json", "known_answers.json", "int8/model.onnx", "manifest.json"])
@pytest.mark.parametrize("damage", ["flip", "cut", "delete"])
def test_damage_is_noticed(tmp_path: Path, name: str, damage: str) -> None:
    out = tmp_path / "model"
    make(out)
    path = out / name
    content = path.read_bytes()
    match damage:
        case "flip":
            path.write_bytes(bytes([content[0] ^ 1]) + content[1:])
        case "cut":
            path.write_bytes(content[:-1])
        case "delete":
            path.unlink()
    with pytest.raises(PreparedModelError, match=str(path) if name != "manifest.json" else "manifest"):
        read_complete(out)
    check_replaceable(out)


def test_somebody_elses_folder_is_not_replaced(tmp_path: Path) -> None:
    out = tmp_path / "home"
    out.mkdir()
    (out / "thesis.tex").write_text("x")
    with pytest.raises(PublishError, match=r"in the way: it holds thesis\.tex"):
        check_replaceable(out)
    with pytest.raises(PublishError, match="in the way: it is no folder"):
        check_replaceable(out / "thesis.tex")


def test_the_lock_lets_one_in_and_says_that_it_waits(tmp_path: Path) -> None:
    waiting, entered = threading.Event(), threading.Event()

    def second() -> None:
        with exclusive(tmp_path, waiting.set):
            entered.set()

    thread = threading.Thread(target=second)
    with exclusive(tmp_path, lambda: pytest.fail("nobody else holds it")):
        thread.start()
        assert waiting.wait(10)
        assert not entered.is_set()
    thread.join(10)
    assert entered.is_set()
    assert os.listdir(tmp_path) == []
