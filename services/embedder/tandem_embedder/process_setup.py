"""What has to be set in a process before native libraries load; to be imported before any of them.

The variables are written here and read by the libraries; what Tandem itself is told, its settings read.
"""

import ctypes
import os
from typing import Final

VARIABLES: Final = {
    "ORT_DISABLE_TELEMETRY": "1",  # onnxruntime sends usage data on Linux unless told not to
    "TOKENIZERS_PARALLELISM": "false",  # the cores belong to the model; a text is split in microseconds
    "OPENBLAS_NUM_THREADS": "1",  # numpy would start a thread a core, and uses none of them here
}

# glibc's mallopt (malloc.h): parameter → value. The model asks for megabytes and gives them back with every batch.
# By default glibc learns from that to keep what was freed, in an arena for each thread: 10 MiB more resident memory
# after batches of many shapes. One arena, whose top is returned beyond 4 MiB, costs nothing that could be measured;
# returning every block at once (a low mmap threshold) costs half of the throughput.
MALLOC: Final = {
    -8: 1,  # M_ARENA_MAX
    -1: 4 << 20,  # M_TRIM_THRESHOLD
    -3: 32 << 20,  # M_MMAP_THRESHOLD; to set it also stops the learning
}

os.environ.update(VARIABLES)

mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # other C libraries have none, and need none
if mallopt is not None:
    for parameter, value in MALLOC.items():
        mallopt(parameter, value)
