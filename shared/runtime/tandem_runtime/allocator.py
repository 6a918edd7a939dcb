"""Parameters of glibc's allocator (``mallopt``, malloc.h), for the memory that native libraries and SQLite take.

By default glibc gives each thread an arena of its own, and keeps in it what the thread has freed.
"""

import ctypes
from collections.abc import Mapping
from typing import Final

TRIM_THRESHOLD: Final = -1
MMAP_THRESHOLD: Final = -3
"""Setting it also stops glibc from adapting it."""
ARENA_MAX: Final = -8


def set_parameters(parameters: Mapping[int, int]) -> None:
    """Set parameters of the allocator. Call it before threads start. Other C libraries do not have or need it."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for parameter, value in parameters.items():
            mallopt(parameter, value)
