"""Process settings for native libraries. Import this module before any of those libraries loads.

This module writes environment variables that only the libraries read. ``settings`` reads Tandem's own variables.
"""

import os
from typing import Final

from tandem_runtime import allocator

VARIABLES: Final = {
    "ORT_DISABLE_TELEMETRY": "1",  # onnxruntime sends usage data on Linux unless told not to
    "TOKENIZERS_PARALLELISM": "false",  # keep the cores for the model; tokenising a text takes microseconds
    "OPENBLAS_NUM_THREADS": "1",  # numpy would start one thread per core; the embedder does not use them
}

# The model allocates and frees megabytes with every batch. By default glibc adapts its thresholds to that and keeps
# freed memory in one arena per thread. Resident memory is then 10 MiB larger after batches of many shapes. These values
# use one arena and return its top beyond 4 MiB, at no measurable cost. A low mmap threshold, which returns every block
# at once, costs half of the throughput.
MALLOC: Final = {
    allocator.ARENA_MAX: 1,
    allocator.TRIM_THRESHOLD: 4 << 20,
    allocator.MMAP_THRESHOLD: 32 << 20,
}

os.environ.update(VARIABLES)
allocator.set_parameters(MALLOC)
