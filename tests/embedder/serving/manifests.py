"""Manifests of prepared models."""

import msgspec

from tandem_embedder.model.prepared_model import FORMAT, FileRecord, Manifest, Source, Variant

RECORD = FileRecord(bytes=1, sha256="0" * 64)
MANIFEST = Manifest(
    format=FORMAT,
    model="a-model",
    dim=4,
    max_seq_length=256,
    pooling="mean",
    source=Source(kind="folder", reference="x", sha256={}),
    tokenizer=RECORD,
    known_answers=RECORD,
    variants={
        "fp32": Variant("fp32/model.onnx", "e" * 32, "given", 0.9999, {}),
        "int8": Variant("int8/model.onnx", "f" * 32, "given", 0.99, {}),
    },
    prepared_with={},
)
GOOD = msgspec.structs.replace(
    MANIFEST,
    variants={"int8": Variant("int8/model.onnx", "f" * 32, "given", 0.99, {"int8/model.onnx": RECORD})},
)
