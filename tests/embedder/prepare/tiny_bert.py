"""A BERT small enough for tests, and a second implementation of its forward pass in plain numpy.

``write_folder`` makes a Hugging Face style folder with random weights; ``forward`` computes what the model
in it says, following the paper and PyTorch's conventions and nothing of the package under test.
"""

import json
from math import erf
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

HIDDEN, LAYERS, HEADS, WIDE, POSITIONS = 32, 2, 4, 64, 40
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *(f"word{n}" for n in range(60)), *"abcdefghijklmnopqrstuvwxyz.,?"]

CONFIG: dict[str, Any] = {
    "model_type": "bert",
    "hidden_act": "gelu",
    "hidden_size": HIDDEN,
    "intermediate_size": WIDE,
    "layer_norm_eps": 1e-12,
    "max_position_embeddings": POSITIONS,
    "num_attention_heads": HEADS,
    "num_hidden_layers": LAYERS,
    "type_vocab_size": 2,
    "vocab_size": len(WORDS),
}

Tensors = dict[str, NDArray[np.float32]]


def random_tensors(seed: int = 0) -> Tensors:
    """Weights under transformers' names, wide enough that no operation is nearly linear."""
    rng = np.random.default_rng(seed)

    def draw(*shape: int, scale: float = 0.3) -> NDArray[np.float32]:
        return rng.normal(0, scale, shape).astype(np.float32)

    tensors = {
        "embeddings.word_embeddings.weight": draw(len(WORDS), HIDDEN, scale=1),
        "embeddings.position_embeddings.weight": draw(POSITIONS, HIDDEN, scale=0.5),
        "embeddings.token_type_embeddings.weight": draw(2, HIDDEN, scale=0.5),
        "embeddings.LayerNorm.weight": 1 + draw(HIDDEN),
        "embeddings.LayerNorm.bias": draw(HIDDEN),
    }
    for index in range(LAYERS):
        at = f"encoder.layer.{index}"
        for name, outputs, inputs in [
            ("attention.self.query", HIDDEN, HIDDEN),
            ("attention.self.key", HIDDEN, HIDDEN),
            ("attention.self.value", HIDDEN, HIDDEN),
            ("attention.output.dense", HIDDEN, HIDDEN),
            ("intermediate.dense", WIDE, HIDDEN),
            ("output.dense", HIDDEN, WIDE),
        ]:
            tensors[f"{at}.{name}.weight"] = draw(outputs, inputs)
            tensors[f"{at}.{name}.bias"] = draw(outputs)
        for name in ("attention.output.LayerNorm", "output.LayerNorm"):
            tensors[f"{at}.{name}.weight"] = 1 + draw(HIDDEN)
            tensors[f"{at}.{name}.bias"] = draw(HIDDEN)
    return tensors


def write_json(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def write_folder(folder: Path, tensors: Tensors | None = None, *, pooling: str = "mean_tokens", **config: Any) -> Path:
    """Write a whole model folder; ``config`` overrides fields of config.json, None removes one."""
    fields = {key: value for key, value in (CONFIG | config).items() if value is not None}
    write_json(folder / "config.json", fields)
    write_json(folder / "tokenizer.json", tokenizer())
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": 32, "do_lower_case": False})
    write_json(
        folder / "1_Pooling" / "config.json", {f"pooling_mode_{pooling}": True, "pooling_mode_max_tokens": False}
    )
    modules = ["Transformer", "Pooling", "Normalize"]
    paths = ["", "1_Pooling", "2_Normalize"]
    write_json(
        folder / "modules.json",
        [
            {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{module}"}
            for i, (module, path) in enumerate(zip(modules, paths, strict=True))
        ],
    )
    save_file(random_tensors() if tensors is None else tensors, folder / "model.safetensors")
    return folder


def tokenizer() -> dict[str, Any]:
    """A word-level tokenizer.json with truncation and fixed padding, as real ones have."""
    special = [{"id": i, "content": WORDS[i], "special": True} for i in range(4)]
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    piece = {"type_id": 0}
    return {
        "version": "1.0",
        "truncation": {"max_length": 8, "strategy": "LongestFirst", "stride": 0, "direction": "Right"},
        "padding": {
            "strategy": {"Fixed": 8},
            "direction": "Right",
            "pad_to_multiple_of": None,
            "pad_id": 0,
            "pad_type_id": 0,
            "pad_token": "[PAD]",
        },
        "added_tokens": [token | flags for token in special],
        "normalizer": {"type": "Lowercase"},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [
                {"SpecialToken": {"id": "[CLS]"} | piece},
                {"Sequence": {"id": "A"} | piece},
                {"SpecialToken": {"id": "[SEP]"} | piece},
            ],
            "pair": [{"Sequence": {"id": "A"} | piece}, {"Sequence": {"id": "B"} | piece}],
            "special_tokens": {
                name: {"id": name, "ids": [WORDS.index(name)], "tokens": [name]} for name in ("[CLS]", "[SEP]")
            },
        },
        "decoder": None,
        "model": {"type": "WordLevel", "vocab": {word: i for i, word in enumerate(WORDS)}, "unk_token": "[UNK]"},
    }


def _activation(name: str, x: NDArray[np.float64]) -> NDArray[np.float64]:
    if name == "gelu":
        return x * 0.5 * (1 + np.vectorize(erf)(x / np.sqrt(2)))
    if name == "gelu_new":
        return x * 0.5 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
    return np.maximum(x, 0)


def forward(
    tensors: Tensors, ids: list[int], *, pooling: str = "mean", act: str = "gelu", eps: float = 1e-12
) -> NDArray[np.float64]:
    """The unit vector of one text, ``(HIDDEN,)``, in float64 and without padding."""

    def get(name: str) -> NDArray[np.float64]:
        return tensors[name].astype(np.float64)

    def linear(name: str, x: NDArray[np.float64]) -> NDArray[np.float64]:
        return x @ get(f"{name}.weight").T + get(f"{name}.bias")

    def norm(name: str, x: NDArray[np.float64]) -> NDArray[np.float64]:
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + eps)
        return scaled * get(f"{name}.weight") + get(f"{name}.bias")

    x = get("embeddings.word_embeddings.weight")[ids]
    x = x + get("embeddings.position_embeddings.weight")[: len(ids)]
    x = norm("embeddings.LayerNorm", x + get("embeddings.token_type_embeddings.weight")[0])
    for index in range(LAYERS):
        at = f"encoder.layer.{index}"
        heads = []
        query, key, value = (linear(f"{at}.attention.self.{part}", x) for part in ("query", "key", "value"))
        size = HIDDEN // HEADS
        for head in range(HEADS):
            part = slice(head * size, (head + 1) * size)
            scores = query[:, part] @ key[:, part].T / np.sqrt(size)
            weights = np.exp(scores - scores.max(-1, keepdims=True))
            heads.append(weights / weights.sum(-1, keepdims=True) @ value[:, part])
        attended = linear(f"{at}.attention.output.dense", np.concatenate(heads, axis=1))
        x = norm(f"{at}.attention.output.LayerNorm", attended + x)
        wide = _activation(act, linear(f"{at}.intermediate.dense", x))
        x = norm(f"{at}.output.LayerNorm", linear(f"{at}.output.dense", wide) + x)
    pooled = x[0] if pooling == "cls" else x.mean(axis=0)
    return pooled / np.linalg.norm(pooled)
