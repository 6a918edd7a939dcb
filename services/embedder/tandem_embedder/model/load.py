"""Composition root of the model side. The loading thread imports and runs it while the server starts."""

from tandem_embedder.model.onnx_model import OnnxModel
from tandem_embedder.model.prepared_model import Manifest
from tandem_embedder.model.splitter import SemanticSplitter
from tandem_embedder.model.tokenizer import HuggingFaceTokenizer
from tandem_embedder.model.verified_load import LoadedModel, load_or_fall_back
from tandem_embedder.settings import Settings


def load_model(settings: Settings, manifest: Manifest, threads: int) -> LoadedModel:
    """Load the configured model with the real tokenizer and ONNX libraries; see ``load_or_fall_back``."""
    precision = settings.precision_of(manifest)
    return load_or_fall_back(
        settings.model_dir, manifest, precision, threads, HuggingFaceTokenizer, SemanticSplitter, OnnxModel
    )
