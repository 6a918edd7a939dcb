"""Token ids → vectors, with ONNX Runtime. In the serving code, only this module imports it."""

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
    """A loaded graph of a prepared model. Thread-safe; a call releases the GIL.

    Args:
        graph: the ONNX file. ONNX Runtime maps the external data beside it into memory.
        dim: dimension of a vector.
        threads: number of threads that compute one batch.

    Raises:
        PreparedModelError: if the graph cannot be loaded or does not have the expected inputs and outputs.
    """

    def __init__(self, graph: Path, dim: int, threads: int) -> None:
        self._dim = dim
        ort.set_default_logger_severity(_ERRORS_ONLY)
        options = ort.SessionOptions()
        options.log_severity_level = _ERRORS_ONLY
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        # Spinning between batches would take cores from the event loop and the tokenizer.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # The arena costs some memory and saves a tenth of a run's CPU time, spent in malloc and page faults.
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
        """Return ``(len(rows), dim) float32``, each row of unit length. Pads to the longest row.

        Raises:
            ModelError: if ONNX Runtime fails or the result is invalid.
        """
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
    """Return ``vectors`` after checking that they are ``(rows, dim) float32`` and finite.

    Raises:
        ModelError: if the check fails.
    """
    if vectors.shape != (rows, dim) or vectors.dtype != np.float32:
        raise ModelError(f"the model returned {vectors.shape} {vectors.dtype}, not ({rows}, {dim}) float32")
    if not np.isfinite(vectors).all():
        raise ModelError("the model returned a number that is not finite")
    return vectors
