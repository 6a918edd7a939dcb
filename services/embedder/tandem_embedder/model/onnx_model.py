"""Token ids → vectors, with ONNX Runtime; the only module that imports it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime as ort

from tandem_embedder.errors import ModelError
from tandem_embedder.model.prepared_model import PreparedModelError
from tandem_embedder.ports import Ids, Vectors

_ERRORS_ONLY = 3
_PROVIDER = "CPUExecutionProvider"


class OnnxModel:
    """A prepared graph, loaded; safe to call from several threads, and a call releases the GIL.

    Args:
        graph: the ONNX file; its external data lies beside it and is mapped into memory.
        dim: floats of a vector.
        threads: threads that compute one batch.

    Raises:
        ArtefactError: if the graph cannot be loaded, or is not of the expected form.
    """

    def __init__(self, graph: Path, dim: int, threads: int) -> None:
        self._dim = dim
        ort.set_default_logger_severity(_ERRORS_ONLY)
        options = ort.SessionOptions()
        options.log_severity_level = _ERRORS_ONLY
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        # Threads that spin between batches take the cores from the event loop and the tokenizer.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # The arena costs some memory, and spares a tenth of a run's CPU time in malloc and page faults.
        options.enable_cpu_mem_arena = True
        options.enable_mem_pattern = False
        try:
            self._session = ort.InferenceSession(str(graph), options, providers=[_PROVIDER])
        except Exception as error:  # onnxruntime's exceptions have no common base but Exception
            raise PreparedModelError(f"{graph} cannot be loaded ({error}); prepare the model again") from error
        if self._session.get_providers() != [_PROVIDER]:
            raise PreparedModelError(f"{graph} would run on {self._session.get_providers()}, not on {_PROVIDER}")
        inputs = sorted(given.name for given in self._session.get_inputs())
        if inputs != ["attention_mask", "input_ids"] or "embedding" not in {
            made.name for made in self._session.get_outputs()
        }:
            raise PreparedModelError(
                f"{graph} has other inputs or outputs than a prepared model; prepare the model again"
            )

    def embed(self, rows: Sequence[Ids]) -> Vectors:
        """Return ``(len(rows), dim) float32`` of unit length; pads to the longest row."""
        longest = max(len(row) for row in rows)
        ids = np.zeros((len(rows), longest), dtype=np.int64)
        mask = np.zeros((len(rows), longest), dtype=np.int64)
        for index, row in enumerate(rows):
            ids[index, : len(row)] = row
            mask[index, : len(row)] = 1
        try:
            (vectors,) = self._session.run(["embedding"], {"input_ids": ids, "attention_mask": mask})
        except Exception as error:  # as above
            raise ModelError(f"ONNX Runtime: {error}") from error
        return checked(vectors, len(rows), self._dim)


def checked(vectors: Vectors, rows: int, dim: int) -> Vectors:
    """Return ``vectors`` if they are ``(rows, dim) float32`` and finite.

    Raises:
        ModelError: if they are not.
    """
    if vectors.shape != (rows, dim) or vectors.dtype != np.float32:
        raise ModelError(f"the model returned {vectors.shape} {vectors.dtype}, not ({rows}, {dim}) float32")
    if not np.isfinite(vectors).all():
        raise ModelError("the model returned a number that is not finite")
    return vectors
