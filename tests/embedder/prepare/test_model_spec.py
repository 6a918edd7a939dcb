"""The values read from a model's small files, and the refusals, which name the file and the field."""

from pathlib import Path

import numpy as np
import pytest

from tandem_embedder.model.prepared_model import Prompts
from tandem_embedder.prepare.errors import UnsupportedModel
from tandem_embedder.prepare.model_spec import read_bert_config, read_sentence_spec
from tandem_embedder.prepare.weights import read_bert_weights
from tests.embedder.prepare.tiny_bert import random_tensors, write_folder, write_json


def test_a_whole_folder(tiny: Path) -> None:
    config = read_bert_config(tiny)
    assert (config.hidden_size, config.num_attention_heads, config.hidden_act) == (32, 4, "gelu")
    spec = read_sentence_spec(tiny, config.max_position_embeddings)
    assert (spec.pooling, spec.max_seq_length, spec.prompts) == ("mean", 32, Prompts())


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("model_type", "mpnet"),
        ("position_embedding_type", "relative_key"),
        ("hidden_act", "silu"),
        ("is_decoder", True),
        ("num_attention_heads", 5),
        ("num_hidden_layers", 0),
        ("hidden_size", "32"),
        ("layer_norm_eps", -1),
        ("vocab_size", None),
    ],
)
def test_a_config_that_is_not_implemented(tmp_path: Path, field: str, value) -> None:
    folder = write_folder(tmp_path / "m", **{field: value})
    with pytest.raises(UnsupportedModel, match=rf"config\.json: {field}: "):
        read_bert_config(folder)


@pytest.mark.parametrize(
    ("content", "pooling"),
    [
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "cls"),
        ({"pooling_mode_mean_tokens": True}, "mean"),
        ({"pooling_mode": "cls"}, "cls"),
        ({"pooling_mode": ["mean"]}, "mean"),
    ],
)
def test_pooling_in_both_generations_of_the_format(tiny: Path, content, pooling: str) -> None:
    write_json(tiny / "1_Pooling/config.json", content)
    assert read_sentence_spec(tiny, 40).pooling == pooling


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ({"pooling_mode_max_tokens": True}, "max_tokens"),
        ({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True}, r"mean_tokens \+ cls_token"),
        ({}, "none"),
        ({"pooling_mode": "lasttoken"}, "lasttoken"),
    ],
)
def test_other_pooling_is_refused_by_name(tiny: Path, content, named: str) -> None:
    write_json(tiny / "1_Pooling/config.json", content)
    with pytest.raises(UnsupportedModel, match=rf"1_Pooling/config\.json: pooling_mode: {named} is not"):
        read_sentence_spec(tiny, 40)


def test_prompts_left_out_of_pooling_are_refused(tiny: Path) -> None:
    write_json(tiny / "1_Pooling/config.json", {"pooling_mode": "mean", "include_prompt": False})
    with pytest.raises(UnsupportedModel, match="include_prompt"):
        read_sentence_spec(tiny, 40)


def test_a_module_that_is_not_implemented(tiny: Path) -> None:
    write_json(tiny / "modules.json", [{"type": "sentence_transformers.models.Dense", "path": "2_Dense"}])
    with pytest.raises(UnsupportedModel, match=r"modules\.json: type: .*models\.Dense"):
        read_sentence_spec(tiny, 40)


def test_a_module_outside_the_folder_is_refused(tiny: Path) -> None:
    write_json(tiny / "modules.json", [{"type": "sentence_transformers.models.Pooling", "path": "../elsewhere"}])
    with pytest.raises(UnsupportedModel, match=r"modules\.json: path: '\.\./elsewhere'"):
        read_sentence_spec(tiny, 40)


def test_without_modules_a_model_is_pooled_by_its_mean(tiny: Path) -> None:
    (tiny / "modules.json").unlink()
    assert read_sentence_spec(tiny, 40).pooling == "mean"


def test_the_limit_falls_back_to_tokenizer_and_positions(tiny: Path) -> None:
    (tiny / "sentence_bert_config.json").unlink()
    assert read_sentence_spec(tiny, 40).max_seq_length == 40
    write_json(tiny / "tokenizer_config.json", {"model_max_length": 20})
    assert read_sentence_spec(tiny, 40).max_seq_length == 20
    write_json(tiny / "tokenizer_config.json", {"model_max_length": 10**30})
    assert read_sentence_spec(tiny, 40).max_seq_length == 40
    with pytest.raises(UnsupportedModel, match="max_seq_length"):
        read_sentence_spec(tiny, None)


@pytest.mark.parametrize(
    ("content", "field"),
    [
        ({"max_seq_length": 41}, "max_seq_length"),
        ({"max_seq_length": 0}, "max_seq_length"),
        ({"max_seq_length": 32, "do_lower_case": True}, "do_lower_case"),
    ],
)
def test_a_bad_sentence_config(tiny: Path, content, field: str) -> None:
    write_json(tiny / "sentence_bert_config.json", content)
    with pytest.raises(UnsupportedModel, match=rf"sentence_bert_config\.json: {field}: "):
        read_sentence_spec(tiny, 40)


@pytest.mark.parametrize(
    ("content", "prompts"),
    [
        ({"prompts": {"query": "q: ", "document": "d: "}}, Prompts("q: ", "d: ")),
        ({"prompts": {"query": "q: ", "passage": "p: "}}, Prompts("q: ", "p: ")),
        ({"prompts": {"query": "q: "}}, Prompts("q: ", "")),
        ({"prompts": {"query": "q: ", "any": "a: "}, "default_prompt_name": "any"}, Prompts("q: ", "a: ")),
        ({"prompts": {}}, Prompts()),
        ({"prompts": None, "default_prompt_name": None}, Prompts()),
    ],
)
def test_prompts(tiny: Path, content, prompts: Prompts) -> None:
    write_json(tiny / "config_sentence_transformers.json", content)
    assert read_sentence_spec(tiny, 40).prompts == prompts


@pytest.mark.parametrize("text", ["", "{", "[]", "\x00"])
def test_a_damaged_config_is_named(tiny: Path, text: str) -> None:
    (tiny / "config.json").write_text(text)
    with pytest.raises(UnsupportedModel, match=r"config\.json"):
        read_bert_config(tiny)


def read_weights(folder: Path) -> None:
    read_bert_weights(folder, read_bert_config(folder))


def test_missing_weights_are_named(tiny: Path) -> None:
    (tiny / "model.safetensors").unlink()
    with pytest.raises(UnsupportedModel, match=r"model\.safetensors is missing"):
        read_weights(tiny)


def test_truncated_weights_are_refused(tiny: Path) -> None:
    path = tiny / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UnsupportedModel, match=r"model\.safetensors: "):
        read_weights(tiny)


def test_a_missing_tensor_is_named(tmp_path: Path) -> None:
    tensors = random_tensors()
    del tensors["encoder.layer.1.output.dense.bias"]
    with pytest.raises(UnsupportedModel, match=r"encoder\.layer\.1\.output\.dense\.bias"):
        read_weights(write_folder(tmp_path / "m", tensors))


def test_a_tensor_of_another_shape_or_type_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModel, match=r"shape \(64, 32\), config\.json says \(128, 32\)"):
        read_weights(write_folder(tmp_path / "m", intermediate_size=128))
    tensors = random_tensors()
    name = "embeddings.LayerNorm.bias"
    tensors[name] = tensors[name].astype(np.float64)
    with pytest.raises(UnsupportedModel, match=rf"{name}: type float64"):
        read_weights(write_folder(tmp_path / "n", tensors))
