"""The manifest may name only the prepared model's own files; a refusal is one short line with its reason."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tandem_embedder.model.prepared_model import (
    FileRecord,
    PreparedModelError,
    read_manifest,
    record_of,
    verify_file,
)
from tests.embedder.serving.manifests import GOOD


def write(folder: Path, change: Callable[[dict[str, Any]], object] = lambda manifest: None) -> None:
    content = msgspec.to_builtins(GOOD)
    change(content)
    (folder / "manifest.json").write_text(json.dumps(content))


def the_variant(manifest: dict[str, Any]) -> dict[str, Any]:
    variant: dict[str, Any] = manifest["variants"]["int8"]
    return variant


def test_a_manifest_is_read(tmp_path: Path) -> None:
    write(tmp_path)
    assert read_manifest(tmp_path) == GOOD


@pytest.mark.parametrize(
    ("change", "field", "reason"),
    [
        (lambda m: m.update(variants={}), "variants", "is empty"),
        (lambda m: the_variant(m).update(files={}), "variants.int8.files", "is empty"),
        (lambda m: the_variant(m).update(graph="fp32/model.onnx"), "variants.int8.graph", "is not among its files"),
        (lambda m: the_variant(m).update(graph="/etc/passwd"), "variants.int8.graph", "is not among its files"),
        *(
            (
                lambda m, name=name: the_variant(m).update(graph=name, files={name: {"bytes": 1, "sha256": "0"}}),
                "variants.int8.files",
                "leads out of the folder",
            )
            for name in ("/etc/passwd", "../model.onnx", "int8/../../model.onnx", "", ".", "a\0b")
        ),
        (lambda m: m.update(dim=0), "dim", ">= 1"),
        (lambda m: m.update(max_seq_length=-1), "max_seq_length", ">= 1"),
        (lambda m: m["tokenizer"].update(bytes=-1), "tokenizer.bytes", ">= 0"),
        (lambda m: m.update(pooling="x" * 100_000), "pooling", "x"),
        (lambda m: m.update(model=None), "model", "str"),
    ],
)
def test_a_manifest_that_does_not_hold_together_is_refused_by_field(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], field: str, reason: str
) -> None:
    write(tmp_path, change)
    with pytest.raises(PreparedModelError) as caught:
        read_manifest(tmp_path)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path}/manifest.json ")
    assert field in message
    assert reason in message
    assert message.endswith("; prepare the model again")
    assert len(message) < 1000
    assert "\n" not in message


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff", b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}", b"[]", b"\xef\xbb\xbf{}"],
    ids=["empty", "cut", "no UTF-8", "nested", "a list", "a byte order mark"],
)
def test_a_damaged_manifest_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "manifest.json").write_bytes(content)
    with pytest.raises(PreparedModelError, match=r"manifest\.json.*; prepare the model again$"):
        read_manifest(tmp_path)


def test_a_folder_in_place_of_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").mkdir()
    with pytest.raises(PreparedModelError, match=r"manifest\.json cannot be read"):
        read_manifest(tmp_path)
    record = FileRecord((tmp_path / "manifest.json").stat().st_size, "0" * 64)
    with pytest.raises(PreparedModelError, match=r"manifest\.json cannot be read"):
        verify_file(tmp_path, "manifest.json", record)
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(PreparedModelError, match="cannot be read"):
        verify_file(tmp_path, "file/below", record_of(tmp_path / "file"))
