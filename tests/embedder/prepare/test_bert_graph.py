"""The written graph, compared with an independent forward pass."""

from pathlib import Path

import numpy as np
import pytest

from tandem_embedder.prepare.bert_graph import bert_graph
from tandem_embedder.prepare.calibration import calibrate
from tandem_embedder.prepare.exact_int8 import write_exact
from tandem_embedder.prepare.graph_builder import save_with_external_data
from tandem_embedder.prepare.model_spec import read_bert_config
from tandem_embedder.prepare.projections import Float32Projections, Int8Projections
from tandem_embedder.prepare.runtime import Graph
from tandem_embedder.prepare.weights import read_bert_weights
from tests.embedder.prepare.tiny_bert import WORDS, forward, random_tensors, write_folder


def sequences(seed: int = 1, count: int = 12) -> list[list[int]]:
    rng = np.random.default_rng(seed)
    return [list(map(int, rng.integers(4, len(WORDS), length))) for length in rng.integers(2, 33, count)]


def load(folder: Path, out: Path, pooling="mean") -> Graph:
    config = read_bert_config(folder)
    model = bert_graph(config, read_bert_weights(folder, config), pooling, Float32Projections())
    save_with_external_data(model, out)
    return Graph(out)


def load_int8(folder: Path, out: Path, *, exact: bool = False) -> Graph:
    config = read_bert_config(folder)
    weights = read_bert_weights(folder, config)
    points = Float32Projections()
    bert_graph(config, weights, "mean", points)
    names = sorted(set(points.calibration_points.values()))
    tapped = bert_graph(config, weights, "mean", Float32Projections(), names)
    save_with_external_data(tapped, out.with_name("tapped.onnx"))
    ranges = calibrate(Graph(out.with_name("tapped.onnx")), points.calibration_points, sequences(7, 40))
    model = bert_graph(config, weights, "mean", Int8Projections(ranges))
    save_with_external_data(model, out)
    return Graph(write_exact(out) if exact else out)


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_fp32_is_the_model(tiny: Path, tmp_path: Path, pooling) -> None:
    graph = load(tiny, tmp_path / "model.onnx", pooling)
    tensors = random_tensors()
    for ids in sequences():
        [vectors] = graph.run([ids])
        assert vectors.dtype == np.float32
        np.testing.assert_allclose(vectors[0], forward(tensors, ids, pooling=pooling), atol=2e-6)


@pytest.mark.parametrize("act", ["gelu_new", "relu"])
def test_fp32_follows_hidden_act(tmp_path: Path, act: str) -> None:
    graph = load(write_folder(tmp_path / "m", hidden_act=act), tmp_path / "model.onnx")
    ids = sequences()[0]
    np.testing.assert_allclose(graph.run([ids])[0][0], forward(random_tensors(), ids, act=act), atol=2e-6)


def test_fp32_follows_layer_norm_eps(tmp_path: Path) -> None:
    graph = load(write_folder(tmp_path / "m", layer_norm_eps=0.5), tmp_path / "model.onnx")
    ids = sequences()[0]
    np.testing.assert_allclose(graph.run([ids])[0][0], forward(random_tensors(), ids, eps=0.5), atol=2e-6)


def test_names_of_a_model_with_a_head_are_understood(tmp_path: Path) -> None:
    tensors = {f"bert.{name}": tensor for name, tensor in random_tensors().items()}
    tensors["cls.predictions.bias"] = np.zeros(3, np.float32)
    graph = load(write_folder(tmp_path / "m", tensors), tmp_path / "model.onnx")
    ids = sequences()[0]
    np.testing.assert_allclose(graph.run([ids])[0][0], forward(random_tensors(), ids), atol=2e-6)


def test_half_precision_weights_are_read(tmp_path: Path) -> None:
    half = {name: tensor.astype(np.float16) for name, tensor in random_tensors().items()}
    graph = load(write_folder(tmp_path / "m", half), tmp_path / "model.onnx")
    ids = sequences()[0]
    np.testing.assert_allclose(graph.run([ids])[0][0], forward(half, ids), atol=2e-6)


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_padding_never_changes_a_vector(tiny: Path, tmp_path: Path, pooling) -> None:
    graph = load(tiny, tmp_path / "model.onnx", pooling)
    batch = sequences()
    together = graph.run(batch)[0]
    other_padding = graph.run(batch, pad_id=11)[0]
    alone = np.concatenate([graph.run([ids])[0] for ids in batch])
    np.testing.assert_allclose(together, alone, atol=5e-7)
    np.testing.assert_array_equal(together, other_padding)


@pytest.mark.parametrize("act", ["gelu", "gelu_new", "relu"])
def test_int8_is_near_fp32(tmp_path: Path, act: str) -> None:
    graph = load_int8(write_folder(tmp_path / "m", hidden_act=act), tmp_path / "model.onnx", exact=True)
    expected = np.array([forward(random_tensors(), ids, act=act) for ids in sequences()])
    cosine = (np.concatenate([graph.run([ids])[0] for ids in sequences()]) * expected).sum(axis=1)
    assert cosine.min() > 0.998
    assert cosine.max() < 0.9999999, "nothing was quantised"


def test_int8_gives_a_text_one_vector_in_any_company(tiny: Path, tmp_path: Path) -> None:
    graph = load_int8(tiny, tmp_path / "model.onnx")
    batch = sequences(3, 20)
    alone = np.concatenate([graph.run([ids])[0] for ids in batch])
    np.testing.assert_allclose(graph.run(batch)[0], alone, atol=1e-6)
    np.testing.assert_allclose(graph.run(batch[::-1])[0][::-1], alone, atol=1e-6)


def test_large_tensors_are_aligned_in_one_external_file(tiny: Path, tmp_path: Path) -> None:
    import onnx

    config = read_bert_config(tiny)
    model = bert_graph(config, read_bert_weights(tiny, config), "mean", Float32Projections())
    files = save_with_external_data(model, tmp_path / "g" / "model.onnx")
    assert [file.name for file in files] == ["model.onnx", "model.onnx.data"]
    assert sorted(tmp_path.joinpath("g").iterdir()) == sorted(files)
    external = [t for t in onnx.load(files[0], load_external_data=False).graph.initializer if t.external_data]
    assert len(external) > 8
    for tensor in external:
        entries = {entry.key: entry.value for entry in tensor.external_data}
        assert entries["location"] == "model.onnx.data"
        assert int(entries["offset"]) % 4096 == 0
