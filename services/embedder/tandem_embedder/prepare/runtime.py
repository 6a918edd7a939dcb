"""onnxruntime for the preparation. In this package, only this module imports it."""

import os
from pathlib import Path

# The library reads this variable when it loads, so set it before the import.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from tandem_embedder.prepare.errors import SelfCheckError
from tandem_embedder.prepare.graph_builder import ATTENTION_MASK, EMBEDDING, INPUT_IDS

onnxruntime.set_default_logger_severity(3)

VERSION: str = onnxruntime.__version__

Float = NDArray[np.float32]


class Graph:
    """A loaded ONNX graph.

    Raises:
        SelfCheckError: if onnxruntime cannot load or run the graph; the message has the library's first line.
    """

    def __init__(self, path: Path, threads: int | None = None) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or len(os.sched_getaffinity(0))
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Spinning between two calls would take the CPU from other programs.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            # The library's exceptions have no common base class except Exception.
            raise SelfCheckError(f"onnxruntime cannot load {path}: {str(error).splitlines()[0]}") from error

    def run(self, sequences: list[list[int]], outputs: list[str] | None = None, pad_id: int = 0) -> list[Float]:
        """Run token sequences as one batch, padded to the longest, and return the outputs in order.

        Args:
            sequences: token ids of each text.
            outputs: names of the outputs to return; None for ``embedding`` alone.
            pad_id: id that fills shorter rows. The mask excludes it, so any valid id works.
        """
        length = max(map(len, sequences))
        input_ids = np.full((len(sequences), length), pad_id, np.int64)
        attention_mask = np.zeros((len(sequences), length), np.int64)
        for row, sequence in enumerate(sequences):
            input_ids[row, : len(sequence)] = sequence
            attention_mask[row, : len(sequence)] = 1
        feed = {INPUT_IDS: input_ids, ATTENTION_MASK: attention_mask}
        try:
            results: list[Float] = self._session.run(outputs or [EMBEDDING], feed)
        except Exception as error:
            raise SelfCheckError(f"onnxruntime cannot run the graph: {str(error).splitlines()[0]}") from error
        return results
