"""Read the tensors of a BERT encoder from model.safetensors into named float32 arrays.

Only this module imports safetensors. PyTorch stores linear layers as ``(out, in)``. This module transposes them to
``(in, out)``, the layout of a MatMul.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from tandem_embedder.prepare.errors import UnsupportedModel
from tandem_embedder.prepare.model_spec import BertConfig

WEIGHTS = "model.safetensors"

Float = NDArray[np.float32]


@dataclass(frozen=True)
class Linear:
    """A projection ``x @ weight + bias``: weight ``(in, out) float32``, bias ``(out,) float32``."""

    weight: Float
    bias: Float


@dataclass(frozen=True)
class Norm:
    """A LayerNorm's gain and offset, both ``(hidden,) float32``."""

    gain: Float
    offset: Float


@dataclass(frozen=True)
class Layer:
    """One encoder layer; ``query_key_value`` holds the three projections side by side."""

    query_key_value: Linear
    attention_output: Linear
    attention_norm: Norm
    intermediate: Linear
    output: Linear
    output_norm: Norm


@dataclass(frozen=True)
class BertWeights:
    """All tensors of the encoder."""

    words: Float
    """``(vocab_size, hidden)``"""
    positions: Float
    """``(max_position_embeddings, hidden)``; includes the embedding of token type 0."""
    embedding_norm: Norm
    layers: tuple[Layer, ...]


def read_bert_weights(folder: Path, config: BertConfig) -> BertWeights:
    """Return the encoder's tensors from model.safetensors in ``folder``.

    Raises:
        UnsupportedModel: if the file is missing or damaged, or a tensor is missing or has the wrong shape or type.
    """
    path = folder / WEIGHTS
    if not path.is_file():
        raise UnsupportedModel(f"{path} is missing (weights in another format, or in several files, are not supported)")
    try:
        with safe_open(path, framework="numpy") as file:
            # If the model was saved with a task head, every name of the encoder starts with "bert.".
            prefix = "bert." if any(name.startswith("bert.") for name in file.keys()) else ""  # noqa: SIM118

            def read(name: str, *shape: int) -> Float:
                tensor = np.asarray(file.get_tensor(prefix + name))
                if tensor.shape != shape:
                    raise UnsupportedModel(f"{path}: {name}: shape {tensor.shape}, config.json says {shape}")
                if tensor.dtype not in (np.float32, np.float16):
                    raise UnsupportedModel(f"{path}: {name}: type {tensor.dtype} is not supported")
                return np.ascontiguousarray(tensor, dtype=np.float32)

            return _assemble(read, config)
    except (SafetensorError, OSError, TypeError) as error:
        raise UnsupportedModel(f"{path}: {str(error).splitlines()[0]}") from error


def _assemble(read: Callable[..., Float], config: BertConfig) -> BertWeights:
    hidden, wide = config.hidden_size, config.intermediate_size

    def linear(name: str, inputs: int, outputs: int) -> Linear:
        weight = np.ascontiguousarray(read(f"{name}.weight", outputs, inputs).T)
        return Linear(weight, read(f"{name}.bias", outputs))

    def norm(name: str) -> Norm:
        return Norm(read(f"{name}.weight", hidden), read(f"{name}.bias", hidden))

    def layer(index: int) -> Layer:
        at = f"encoder.layer.{index}"
        parts = [linear(f"{at}.attention.self.{part}", hidden, hidden) for part in ("query", "key", "value")]
        return Layer(
            query_key_value=Linear(
                np.concatenate([part.weight for part in parts], axis=1),
                np.concatenate([part.bias for part in parts]),
            ),
            attention_output=linear(f"{at}.attention.output.dense", hidden, hidden),
            attention_norm=norm(f"{at}.attention.output.LayerNorm"),
            intermediate=linear(f"{at}.intermediate.dense", hidden, wide),
            output=linear(f"{at}.output.dense", wide, hidden),
            output_norm=norm(f"{at}.output.LayerNorm"),
        )

    positions = read("embeddings.position_embeddings.weight", config.max_position_embeddings, hidden)
    types = read("embeddings.token_type_embeddings.weight", config.type_vocab_size, hidden)
    return BertWeights(
        words=read("embeddings.word_embeddings.weight", config.vocab_size, hidden),
        # A text is never a pair here, so the token type is always 0. Adding it here saves one addition per token.
        positions=positions + types[0],
        embedding_norm=norm("embeddings.LayerNorm"),
        layers=tuple(layer(index) for index in range(config.num_hidden_layers)),
    )
