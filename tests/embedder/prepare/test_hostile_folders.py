"""A damaged or hostile folder ends the command with one line, and no file outside the folder is read."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tandem_embedder.prepare import cli, given_graph
from tandem_embedder.prepare.errors import UnsupportedModel
from tandem_embedder.prepare.graph_builder import save_with_external_data
from tandem_embedder.prepare.runtime import Graph
from tests.embedder.prepare.given_graphs import BATCH, TABLE, unit, write

LARGE = np.tile(TABLE, (10, 1))
"""Like ``TABLE``, for the tokens of the batch, and large enough for a separate file."""


def refused(source: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """Prepare ``source``; return the error's only line."""
    assert cli.main(["--source", str(source), "--out", str(out)]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert len(error) < 2000
    assert "Traceback" not in error
    return error


def with_external_data(folder: Path) -> Path:
    """Put the folder's own graph into it, with its table in a separate file; return the graph's path."""
    (folder / "model.safetensors").unlink(missing_ok=True)
    path = write(folder / "model.onnx")
    model = onnx.load(path)
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(LARGE, "table"))
    save_with_external_data(model, path)
    return path


def rewrite(path: Path, **entries: str) -> None:
    """Set entries of the external tensor's location."""
    model = onnx.load(path, load_external_data=False)
    (tensor,) = [tensor for tensor in model.graph.initializer if tensor.external_data]
    kept = {entry.key: entry.value for entry in tensor.external_data} | entries
    del tensor.external_data[:]
    for key, value in kept.items():
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    path.write_bytes(model.SerializeToString())


def outside(path: Path) -> None:
    path.with_name("model.onnx.data").rename(path.parent.parent / "secret")
    rewrite(path, location="../secret")


def absolute(path: Path) -> None:
    path.with_name("model.onnx.data").rename(path.parent.parent / "secret")
    rewrite(path, location=str(path.parent.parent / "secret"))


def linked(path: Path) -> None:
    data = path.with_name("model.onnx.data")
    data.rename(path.parent.parent / "secret")
    data.symlink_to("../secret")


def hard_linked(path: Path) -> None:
    os.link(path.with_name("model.onnx.data"), path.parent.parent / "secret")


def a_pipe(path: Path) -> None:
    path.with_name("model.onnx.data").unlink()
    os.mkfifo(path.with_name("model.onnx.data"))


def a_folder(path: Path) -> None:
    path.with_name("model.onnx.data").unlink()
    path.with_name("model.onnx.data").mkdir()


def a_loop(path: Path) -> None:
    path.with_name("model.onnx.data").unlink()
    path.with_name("model.onnx.data").symlink_to("model.onnx.data")


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (outside, "leads out of the model's folder"),
        (absolute, "leads out of the model's folder"),
        (linked, "leads out of the model's folder"),
        (hard_linked, "hard link"),
        (a_pipe, "is missing"),
        (a_folder, "is missing"),
        (a_loop, "is missing"),
        (lambda path: rewrite(path, location=""), "is missing"),
        (lambda path: rewrite(path, location="a\0b"), "is missing"),
        (lambda path: rewrite(path, location="x" * 5000), "is missing"),
        (lambda path: rewrite(path, location="a\nb"), "is missing"),
        (lambda path: rewrite(path, offset="-1"), "offset"),
        (lambda path: rewrite(path, offset="many"), "offset"),
        (lambda path: rewrite(path, offset="9" * 5000), "offset"),
        (lambda path: rewrite(path, length=str(1 << 62)), "length"),
        (lambda path: rewrite(path, length="-1"), "length"),
        (lambda path: rewrite(path, length="16"), "length"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_external_data_that_is_not_the_folders_own_is_refused(
    tiny: Path, tmp_path: Path, damage: Callable[[Path], None], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = with_external_data(tiny)
    damage(path)
    error = refused(tiny, tmp_path / "out", capsys)
    assert str(path) in error
    assert "external data" in error
    assert reason in error
    assert not (tmp_path / "out").exists()


def test_external_data_of_an_attribute_counts_as_well(tmp_path: Path) -> None:
    path = write(tmp_path / "m" / "model.onnx")
    model = onnx.load(path)
    tensor = numpy_helper.from_array(LARGE, "constant")
    (tmp_path / "m" / "constant").write_bytes(tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="constant")
    del model.graph.initializer[0]
    model.graph.node.insert(0, helper.make_node("Constant", [], ["table"], value=tensor))
    path.write_bytes(model.SerializeToString())
    assert [file.name for file in given_graph.source_files(path)] == ["model.onnx", "constant"]
    model, _ = given_graph.adapt(path, "mean")
    save_with_external_data(model, tmp_path / "o" / "model.onnx")
    expected = [unit(TABLE[ids].mean(axis=0)) for ids in BATCH]
    np.testing.assert_allclose(Graph(tmp_path / "o" / "model.onnx").run(BATCH)[0], expected, atol=1e-6)
    (tmp_path / "m" / "constant").rename(tmp_path / "secret")
    (tmp_path / "m" / "constant").symlink_to("../secret")
    with pytest.raises(UnsupportedModel, match="leads out of the model's folder"):
        given_graph.adapt(path, "mean")


@pytest.mark.parametrize("place", ["", "onnx"])
def test_a_folder_of_the_hubs_cache_is_prepared_although_its_files_are_links(
    tiny: Path, tmp_path: Path, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with_external_data(tiny / place)
    (tiny / "model.safetensors").unlink(missing_ok=True)
    repository = tmp_path / "models--people--tiny"
    blobs, snapshot = repository / "blobs", repository / "snapshots" / "0123abcd"
    blobs.mkdir(parents=True)
    for number, file in enumerate(sorted(path for path in tiny.rglob("*") if path.is_file())):
        link = snapshot / file.relative_to(tiny)
        link.parent.mkdir(parents=True, exist_ok=True)
        file.rename(blobs / str(number))
        link.symlink_to(os.path.relpath(blobs / str(number), link.parent))
    assert cli.main(["--source", str(snapshot), "--out", str(tmp_path / "out")]) == 0, capsys.readouterr().err
    assert capsys.readouterr().out.splitlines()[-1].startswith("prepared: ")


def test_a_link_out_of_the_hubs_cache_is_refused(tiny: Path, tmp_path: Path) -> None:
    snapshot = tmp_path / "models--people--tiny" / "snapshots" / "0123abcd"
    path = with_external_data(snapshot)
    (tmp_path / "secrets").mkdir()
    path.with_name("model.onnx.data").rename(tmp_path / "secrets" / "1")
    (snapshot.parent.parent / "blobs").symlink_to(tmp_path / "secrets")
    path.with_name("model.onnx.data").symlink_to("../../blobs/1")
    with pytest.raises(UnsupportedModel, match="leads out of the model's folder"):
        given_graph.source_files(path)


NESTED = "[" * 100_000 + "]" * 100_000


@pytest.mark.parametrize(
    "name",
    [
        "config.json",
        "modules.json",
        "1_Pooling/config.json",
        "sentence_bert_config.json",
        "config_sentence_transformers.json",
        "tokenizer.json",
    ],
)
@pytest.mark.parametrize(
    "content",
    [
        NESTED.encode(),
        b'{"x":' + NESTED.encode() + b"}",
        b'{"x":' + b"9" * 5000 + b"}",
        b"\xff\xfe\x00",
        b"{",
        b"[" * 900 + b"]" * 900,
    ],
    ids=["nested", "nested in a field", "a long number", "no UTF-8", "cut", "nested less"],
)
def test_a_small_file_that_cannot_be_read_is_named(
    tiny: Path, tmp_path: Path, name: str, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    (tiny / name).write_bytes(content)
    assert str(tiny / name) in refused(tiny, tmp_path / "out", capsys)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "1_Pooling/config.json"])
def test_a_pipe_in_place_of_a_small_file_is_refused_and_not_waited_for(
    tiny: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tiny / name).unlink()
    os.mkfifo(tiny / name)
    assert str(tiny / name) in refused(tiny, tmp_path / "out", capsys)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("1_Pooling/config.json", {"pooling_mode": [{}]}),
        ("1_Pooling/config.json", {"pooling_mode": [["mean"]]}),
        ("1_Pooling/config.json", {"pooling_mode": "x" * 100_000}),
        ("config_sentence_transformers.json", {"prompts": {"a": "b"}, "default_prompt_name": ["a"]}),
        ("config_sentence_transformers.json", {"prompts": {"query": "\ud800"}}),
        ("config.json", {"model_type": "bert", "hidden_size": "x\n" * 100_000}),
        ("config.json", {"model_type": "bert", "hidden_act": ["gelu"]}),
        ("tokenizer.json", {"x": "\ud800"}),
        ("tokenizer.json", {}),
        ("tokenizer.json", {"model": {"type": "BPE", "vocab": {"a": 0}, "merges": ["a b"]}}),
        ("modules.json", [{"type": "x\n" * 100_000}]),
        ("modules.json", [{"type": "a.Pooling", "path": "a\0b"}]),
        ("modules.json", [{"type": "a.Pooling", "path": "x" * 5000}]),
    ],
)
def test_a_field_of_another_kind_is_one_bounded_line(
    tiny: Path, tmp_path: Path, name: str, content: object, capsys: pytest.CaptureFixture[str]
) -> None:
    (tiny / name).write_text(json.dumps(content), encoding="utf-8")
    refused(tiny, tmp_path / "out", capsys)


def test_a_dimension_that_is_not_the_vectors_is_refused(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tiny / "model.safetensors").unlink()
    for dim in (-1, 7, 1 << 40):
        write(tiny / "model.onnx", dim=dim)
        refused(tiny, tmp_path / "out", capsys)
