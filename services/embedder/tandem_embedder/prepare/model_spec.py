"""Settings of a model, read from the small JSON files in its folder and checked.

Formats: config.json is the ``PretrainedConfig`` of a BERT model in transformers. modules.json,
``<pooling>/config.json``, sentence_bert_config.json and config_sentence_transformers.json come from
sentence-transformers (``SentenceTransformer.save``).

This module rejects every value that would change the vectors and that this package does not implement. The message
names file and field. Fields that do not affect the vectors are ignored.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from tandem_embedder.model.prepared_model import Prompts
from tandem_embedder.prepare.errors import UnsupportedModel
from tandem_embedder.prepare.json_file import read_json

Pooling = Literal["mean", "cls"]
Activation = Literal["gelu", "gelu_tanh", "relu"]

CONFIG = "config.json"
MODULES = "modules.json"
SENTENCE_CONFIG = "sentence_bert_config.json"
PROMPTS_CONFIG = "config_sentence_transformers.json"
TOKENIZER_CONFIG = "tokenizer_config.json"

_ACTIVATIONS: dict[str, Activation] = {
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "relu": "relu",
}


@dataclass(frozen=True)
class BertConfig:
    """Dimensions and constants of a post-LayerNorm BERT encoder, named as in its config.json."""

    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    vocab_size: int
    max_position_embeddings: int
    type_vocab_size: int
    layer_norm_eps: float
    hidden_act: Activation


@dataclass(frozen=True)
class SentenceSpec:
    """Settings outside the encoder: prompts, the length limit, and pooling of token vectors."""

    pooling: Pooling
    max_seq_length: int
    """Tokens, including the special tokens."""
    prompts: Prompts


class _Fields:
    """A JSON object with the path of its file, so that every error names file and field."""

    def __init__(self, folder: Path, name: str, values: dict[str, Any]) -> None:
        self._path = folder / name
        self.values = values

    def refuse(self, field: str, why: str) -> UnsupportedModel:
        return UnsupportedModel(f"{self._path}: {field}: {why}")

    def positive_int(self, field: str) -> int:
        value = self.values.get(field)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise self.refuse(field, f"a positive integer is needed, found {value!r}")
        return value

    def expect(self, field: str, default: object, *allowed: object) -> None:
        value = self.values.get(field, default)
        if value not in allowed:
            raise self.refuse(field, f"{value!r} is not supported (supported: {', '.join(map(repr, allowed))})")


def _read_object(folder: Path, name: str, *, optional: bool = False) -> _Fields:
    if optional and not (folder / name).is_file():
        return _Fields(folder, name, {})
    values = read_json(folder / name)
    if not isinstance(values, dict):
        raise UnsupportedModel(f"{folder / name}: a JSON object is needed")
    return _Fields(folder, name, values)


def read_bert_config(folder: Path) -> BertConfig:
    """Return the encoder's configuration from config.json in ``folder``.

    Raises:
        UnsupportedModel: if the model is not a BERT encoder, or has a feature that the graph writer lacks.
    """
    fields = _read_object(folder, CONFIG)
    fields.expect("model_type", None, "bert")
    fields.expect("position_embedding_type", "absolute", "absolute", None)
    fields.expect("is_decoder", False, False)
    fields.expect("add_cross_attention", False, False)
    fields.expect("hidden_act", "gelu", *_ACTIVATIONS)
    epsilon = fields.values.get("layer_norm_eps", 1e-12)
    if not isinstance(epsilon, int | float) or not 0 < epsilon < 1:
        raise fields.refuse("layer_norm_eps", f"a small positive number is needed, found {epsilon!r}")
    config = BertConfig(
        hidden_size=fields.positive_int("hidden_size"),
        num_hidden_layers=fields.positive_int("num_hidden_layers"),
        num_attention_heads=fields.positive_int("num_attention_heads"),
        intermediate_size=fields.positive_int("intermediate_size"),
        vocab_size=fields.positive_int("vocab_size"),
        max_position_embeddings=fields.positive_int("max_position_embeddings"),
        type_vocab_size=fields.positive_int("type_vocab_size"),
        layer_norm_eps=float(epsilon),
        hidden_act=_ACTIVATIONS[fields.values.get("hidden_act", "gelu")],
    )
    if config.hidden_size % config.num_attention_heads:
        raise fields.refuse("num_attention_heads", f"does not divide hidden_size {config.hidden_size}")
    return config


def model_type(folder: Path) -> str | None:
    """Return ``model_type`` of config.json; None if the file or the field is missing."""
    value = _read_object(folder, CONFIG, optional=True).values.get("model_type")
    return value if isinstance(value, str) else None


def read_sentence_spec(folder: Path, position_limit: int | None) -> SentenceSpec:
    """Return pooling, length limit and prompts of the model in ``folder``.

    Args:
        folder: a sentence-transformers folder. Without modules.json, pooling is mean, as in sentence-transformers.
        position_limit: maximum number of tokens that the encoder accepts; None for no limit.

    Raises:
        UnsupportedModel: if a module, a pooling mode or another setting is not implemented.
    """
    pooling_folder = _pooling_folder(folder)
    return SentenceSpec(
        pooling="mean" if pooling_folder is None else _read_pooling(folder, pooling_folder),
        max_seq_length=_read_max_seq_length(folder, position_limit),
        prompts=_read_prompts(folder),
    )


def _pooling_folder(folder: Path) -> str | None:
    if not (folder / MODULES).is_file():
        return None
    modules = read_json(folder / MODULES)
    path = folder / MODULES
    if not isinstance(modules, list) or not all(isinstance(module, dict) for module in modules):
        raise UnsupportedModel(f"{path}: a list of modules is needed")
    pooling: str | None = None
    for module in modules:
        kind = str(module.get("type", "")).rpartition(".")[2]
        if kind == "Pooling":
            pooling = str(module.get("path", ""))
        # Normalize changes nothing: the graph always returns vectors of unit length.
        elif kind not in {"Transformer", "Normalize"}:
            raise UnsupportedModel(
                f"{path}: type: the module {module.get('type')!r} is not supported "
                "(supported: Transformer, Pooling, Normalize)"
            )
    if pooling is None:
        raise UnsupportedModel(f"{path}: type: there is no Pooling module")
    if Path(pooling).is_absolute() or ".." in Path(pooling).parts:
        raise UnsupportedModel(f"{path}: path: {pooling!r} leads out of the model's folder")
    return pooling


def _read_pooling(folder: Path, pooling_folder: str) -> Pooling:
    fields = _read_object(folder, str(Path(pooling_folder) / "config.json"))
    # The older format has one flag per mode, the newer format one field with the mode's name.
    named = fields.values.get("pooling_mode")
    if named is not None:
        modes = named if isinstance(named, list) else [named]
    else:
        prefix = "pooling_mode_"
        modes = [key.removeprefix(prefix) for key, on in fields.values.items() if key.startswith(prefix) and on]
    known: dict[str, Pooling] = {"mean_tokens": "mean", "mean": "mean", "cls_token": "cls", "cls": "cls"}
    if len(modes) != 1 or not isinstance(modes[0], str) or modes[0] not in known:
        found = " + ".join(map(str, modes)) or "none"
        raise fields.refuse("pooling_mode", f"{found} is not supported (supported: mean, cls)")
    if fields.values.get("include_prompt", True) is not True:
        raise fields.refuse("include_prompt", "leaving the prompt's tokens out of pooling is not supported")
    return known[modes[0]]


def _read_max_seq_length(folder: Path, position_limit: int | None) -> int:
    fields = _read_object(folder, SENTENCE_CONFIG, optional=True)
    # tokenizer.json defines lower-casing. A second rule on top of it would change the tokens.
    fields.expect("do_lower_case", False, False)
    if fields.values.get("max_seq_length") is not None:
        length = fields.positive_int("max_seq_length")
        if position_limit is not None and length > position_limit:
            raise fields.refuse("max_seq_length", f"{length} is over the encoder's {position_limit} positions")
        return length
    tokenizer = _read_object(folder, TOKENIZER_CONFIG, optional=True)
    limit = tokenizer.values.get("model_max_length")
    # transformers writes a huge number here if it knows no limit.
    limits = [n for n in (limit, position_limit) if isinstance(n, int) and 0 < n < 1_000_000]
    if not limits:
        raise fields.refuse("max_seq_length", "is missing, and no other file gives a limit")
    return min(limits)


def _read_prompts(folder: Path) -> Prompts:
    fields = _read_object(folder, PROMPTS_CONFIG, optional=True)
    prompts = fields.values.get("prompts") or {}
    if not isinstance(prompts, dict) or not all(isinstance(text, str) for text in prompts.values()):
        raise fields.refuse("prompts", "an object of name and text is needed")
    texts = cast("dict[str, str]", prompts)
    default_name = fields.values.get("default_prompt_name")
    if default_name is not None and not (isinstance(default_name, str) and default_name in texts):
        raise fields.refuse("default_prompt_name", f"{default_name!r} is none of the prompts")
    default = texts[default_name] if default_name is not None else ""
    return Prompts(
        query=texts.get("query", default),
        document=texts.get("document", texts.get("passage", default)),
    )
