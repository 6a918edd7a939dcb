"""Recipes that turn a model's folder into graphs: a BERT encoder written by this package, or the folder's own graph.

A recipe's version is part of the fingerprint. It must change whenever the vectors change: with the arithmetic of a
graph, a constant of the quantisation, or the calibration texts.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from tandem_embedder.model.prepared_model import Precision, sha256_of
from tandem_embedder.prepare import calibration, given_graph
from tandem_embedder.prepare.bert_graph import bert_graph
from tandem_embedder.prepare.errors import UnsupportedModel
from tandem_embedder.prepare.fingerprint import VectorDefinition
from tandem_embedder.prepare.graph_builder import save_with_external_data
from tandem_embedder.prepare.model_spec import (
    BertConfig,
    SentenceSpec,
    model_type,
    read_bert_config,
    read_sentence_spec,
)
from tandem_embedder.prepare.progress import Progress
from tandem_embedder.prepare.projections import Float32Projections, Int8Projections
from tandem_embedder.prepare.runtime import Graph
from tandem_embedder.prepare.tokenizer_file import TextTokenizer, digest, read_tokenizer
from tandem_embedder.prepare.weights import WEIGHTS, read_bert_weights

BERT_RECIPES: dict[Precision, str] = {"fp32": "bert-fp32/1", "int8": "bert-int8/2"}
GIVEN_RECIPE = "given"


class Recipe(Protocol):
    """A way to write graphs from a model's folder."""

    precisions: tuple[Precision, ...]
    """Precisions that the recipe can write. fp32 is always the first."""
    weights_files: list[Path]
    weights_sha256: str
    architecture: dict[str, int | float | str]
    spec: SentenceSpec

    def name(self, precision: Precision) -> str:
        """Return the recipe's name and version."""

    def write(self, graphs: dict[Precision, Path], tokenizer: TextTokenizer, progress: Progress) -> int:
        """Write the graph of each precision to its path and return the vectors' dimension."""


class BertRecipe:
    """Writes the encoder op by op, from config.json and model.safetensors."""

    precisions: tuple[Precision, ...] = ("fp32", "int8")

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._config: BertConfig = read_bert_config(folder)
        self.spec = read_sentence_spec(folder, self._config.max_position_embeddings)
        self.weights_files = [folder / WEIGHTS]
        self.weights_sha256 = sha256_of(folder / WEIGHTS)
        self.architecture: dict[str, int | float | str] = asdict(self._config)

    def name(self, precision: Precision) -> str:
        """Return the recipe's name and version."""
        return BERT_RECIPES[precision]

    def write(self, graphs: dict[Precision, Path], tokenizer: TextTokenizer, progress: Progress) -> int:
        """Write fp32, and int8 if ``graphs`` has it. Calibrates int8's scales on the fp32 graph."""
        weights = read_bert_weights(self._folder, self._config)
        pooling = self.spec.pooling
        reference = Float32Projections()
        model = bert_graph(self._config, weights, pooling, reference)
        save_with_external_data(model, graphs["fp32"])
        if "int8" in graphs:
            points = reference.calibration_points
            # The same graph and tensors, with the calibration points as extra outputs.
            tapped = bert_graph(self._config, weights, pooling, Float32Projections(), sorted(set(points.values())))
            path = graphs["int8"].with_name("calibration.onnx")
            files = save_with_external_data(tapped, path)
            sequences = tokenizer.encode(calibration.calibration_texts())
            tracked = progress.track(sequences, len(sequences), "calibrating")
            ranges = calibration.calibrate(Graph(path), points, tracked)
            for file in files:
                file.unlink()
            model = bert_graph(self._config, weights, pooling, Int8Projections(ranges))
            save_with_external_data(model, graphs["int8"])
        return self._config.hidden_size


class GivenRecipe:
    """Adapts the folder's own graph."""

    precisions: tuple[Precision, ...] = ("fp32",)

    def __init__(self, folder: Path, graph: Path) -> None:
        self._graph = graph
        self.spec = read_sentence_spec(folder, None)
        self.weights_files = given_graph.source_files(graph)
        self.weights_sha256 = given_graph.weights_digest(graph)
        self.architecture: dict[str, int | float | str] = {}

    def name(self, precision: Precision) -> str:
        """Return the name of all graphs that this package did not write."""
        return GIVEN_RECIPE

    def write(self, graphs: dict[Precision, Path], tokenizer: TextTokenizer, progress: Progress) -> int:
        """Write the folder's graph with the inputs and the output of a prepared model."""
        model, dim = given_graph.adapt(self._graph, self.spec.pooling)
        save_with_external_data(model, graphs["fp32"])
        return dim


@dataclass(frozen=True)
class Plan:
    """A recipe and the model's tokenizer."""

    recipe: Recipe
    tokenizer: dict[str, Any]

    def definition(self, precision: Precision) -> VectorDefinition:
        """Return the definition of the vectors of ``precision``, which the fingerprint hashes."""
        spec = self.recipe.spec
        return VectorDefinition(
            weights_sha256=self.recipe.weights_sha256,
            tokenizer_sha256=digest(self.tokenizer),
            architecture=self.recipe.architecture,
            pooling=spec.pooling,
            max_seq_length=spec.max_seq_length,
            query_prompt=spec.prompts.query,
            document_prompt=spec.prompts.document,
            precision=precision,
            recipe=self.recipe.name(precision),
        )


def plan(folder: Path) -> Plan:
    """Choose the recipe for the model in ``folder``.

    A BERT model with model.safetensors gets ``BertRecipe``, even if the folder has its own graph. Only that recipe can
    write int8.

    Raises:
        UnsupportedModel: if no recipe applies, or a setting is not supported.
    """
    graph = given_graph.find_graph(folder)
    recipe: Recipe
    if graph is not None and (model_type(folder) != "bert" or not (folder / WEIGHTS).is_file()):
        recipe = GivenRecipe(folder, graph)
    elif (folder / WEIGHTS).is_file():
        recipe = BertRecipe(folder)
    else:
        raise UnsupportedModel(
            f"{folder} holds neither {WEIGHTS} nor {' nor '.join(given_graph.PLACES)} "
            "(weights in another format, or in several files, are not supported)"
        )
    return Plan(recipe, read_tokenizer(folder))
