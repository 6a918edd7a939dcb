"""Process settings for native libraries. Import this module before any of those libraries loads.

This module writes environment variables that only the libraries read. ``settings`` reads Tandem's own variables.
"""

import ctypes
import os
from typing import Final

VARIABLES: Final = {
    "ORT_DISABLE_TELEMETRY": "1",  # onnxruntime sends usage data on Linux unless told not to
    "TOKENIZERS_PARALLELISM": "false",  # keep the cores for the model; tokenising a text takes microseconds
    "OPENBLAS_NUM_THREADS": "1",  # numpy would start one thread per core, and the embedder uses none of them
}

# glibc's mallopt (malloc.h): parameter → value. The model allocates and frees megabytes with every batch.
# By default glibc adapts its thresholds to that and keeps freed memory in one arena per thread. Resident memory is
# then 10 MiB larger after batches of many shapes. These values use one arena and return its top beyond 4 MiB, at no
# measurable cost. A low mmap threshold, which returns every block at once, costs half of the throughput.
MALLOC: Final = {
    -8: 1,  # M_ARENA_MAX
    -1: 4 << 20,  # M_TRIM_THRESHOLD
    -3: 32 << 20,  # M_MMAP_THRESHOLD; setting it also stops the adaptation
}

os.environ.update(VARIABLES)

mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # only glibc has it; other C libraries do not need it
if mallopt is not None:
    for parameter, value in MALLOC.items():
        mallopt(parameter, value)
