"""External data of an ONNX graph: tensors in files beside the graph. Reads only files that belong to the model.

A place is a path relative to the graph's folder (ONNX's ``ExternalData.md``). onnx's own loader rejects every symbolic
link. It therefore rejects every folder of the Hugging Face cache, where files are links into ``blobs``. Here a link may
lead to a file below the graph's folder, or into ``blobs`` of the same repository in the cache.
"""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import onnx
from onnx.external_data_helper import uses_external_data

from tandem_embedder.prepare.errors import UnsupportedModel

_SNAPSHOTS, _BLOBS = "snapshots", "blobs"
_MAX_DIGITS = 19
"""Maximum number of digits of an offset or a length. No file has that many bytes."""


def files(path: Path, model: onnx.ModelProto) -> list[Path]:
    """Return the external-data files of ``model``, the graph at ``path``, sorted by their places.

    Raises:
        UnsupportedModel: if a file is missing or does not belong to the model.
    """
    places = sorted({_entry(tensor, "location") for tensor in _external(model)})
    for place in places:
        _resolved(path, place)
    return [path.parent / place for place in places]


def load(path: Path, model: onnx.ModelProto) -> None:
    """Read all external data of the graph at ``path`` into ``model``.

    Raises:
        UnsupportedModel: as ``files``; also if a tensor extends beyond its file, or its length does not fit its shape.
    """
    for tensor in _external(model):
        place = _entry(tensor, "location")
        try:
            content = _read(path, place, _number(path, tensor, "offset"), _number(path, tensor, "length"))
        except (OSError, MemoryError) as error:
            raise _refusal(path, place, f"cannot be read ({error or type(error).__name__})") from error
        tensor.raw_data = content
        tensor.data_location = onnx.TensorProto.DEFAULT
        del tensor.external_data[:]
        try:
            onnx.numpy_helper.to_array(tensor)
        except (ValueError, TypeError, KeyError, OverflowError) as error:
            raise _refusal(path, place, f"its length is not that of the tensor {tensor.name!r}") from error


def _external(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    parts = (model.graph, *model.functions)
    return (tensor for part in parts for tensor in _tensors(part) if uses_external_data(tensor))


def _tensors(part: onnx.GraphProto | onnx.FunctionProto) -> Iterator[onnx.TensorProto]:
    """Yield all tensors of a graph or function, including those in its nodes' attributes and subgraphs."""
    # protobuf rejects more than 100 levels, which bounds this recursion.
    if isinstance(part, onnx.GraphProto):
        yield from part.initializer
        for sparse in part.sparse_initializer:
            yield from (sparse.values, sparse.indices)
    for node in part.node:
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
            for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
                yield from (sparse.values, sparse.indices)
            for graph in (attribute.g, *attribute.graphs):
                yield from _tensors(graph)


def _entry(tensor: onnx.TensorProto, key: str) -> str:
    return next((str(entry.value) for entry in tensor.external_data if entry.key == key), "")


def _number(path: Path, tensor: onnx.TensorProto, key: str) -> int | None:
    text = _entry(tensor, key)
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS):
        raise _refusal(path, _entry(tensor, "location"), f"its {key} is {text[:40]!r}")
    return int(text)


def _resolved(path: Path, place: str) -> Path:
    """Return the real path of a place, after checking that the file belongs to the model."""
    if Path(place).is_absolute() or ".." in Path(place).parts:
        raise _refusal(path, place, "leads out of the model's folder")
    try:
        found = (path.parent / place).is_file()
    except OSError:  # the name is too long, or the folder is not readable
        found = False
    if not found:
        raise _refusal(path, place, "is missing")
    real = (path.parent / place).resolve()
    folder = path.parent.resolve()
    # Files in <cache>/<repository>/snapshots/<revision>/ have their content in <cache>/<repository>/blobs.
    blobs = [parent.parent / _BLOBS for parent in folder.parents if parent.name == _SNAPSHOTS]
    if not any(real.is_relative_to(root) for root in (folder, *blobs)):
        raise _refusal(path, place, "leads out of the model's folder")
    return real


def _read(path: Path, place: str, offset: int | None, length: int | None) -> bytes:
    descriptor = os.open(_resolved(path, place), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise _refusal(path, place, "is missing")
        if status.st_nlink > 1:
            # onnx and onnxruntime also reject hard links: the location of the file's other name is unknown.
            raise _refusal(path, place, "is a hard link, so it may be a file from elsewhere: copy it")
        start = offset or 0
        if start > status.st_size:
            raise _refusal(path, place, f"its offset {start} is over the {status.st_size} bytes of the file")
        wanted = status.st_size - start if length is None else length
        if wanted > status.st_size - start:
            raise _refusal(path, place, f"its length {wanted} is over the {status.st_size - start} bytes in the file")
        file.seek(start)
        return file.read(wanted)


def _refusal(path: Path, place: str, why: str) -> UnsupportedModel:
    return UnsupportedModel(f"{path}: its external data {place[:200]!r}: {why}")
