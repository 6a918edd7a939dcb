"""The composition root of the model side: imported, and run, by the thread that loads while the server starts."""

from tandem_embedder.model.onnx_model import OnnxModel
from tandem_embedder.model.prepared_model import Manifest
from tandem_embedder.model.tokenizer import HuggingFaceTokenizer
from tandem_embedder.model.verified_load import LoadedModel, load_or_fall_back
from tandem_embedder.settings import Settings


def load_model(settings: Settings, manifest: Manifest, threads: int) -> LoadedModel:
    """Return the model that the settings name, loaded with the real libraries; see ``load_or_fall_back``."""
    precision = settings.precision_of(manifest)
    return load_or_fall_back(settings.model_dir, manifest, precision, threads, HuggingFaceTokenizer, OnnxModel)
