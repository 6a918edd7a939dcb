"""Random ids for documents without one."""

import os
from typing import Final

_BYTES: Final = 16
_AT_ONCE: Final = 256

_unused: list[str] = []


def new_document_id() -> str:
    """Return 32 random hexadecimal digits; any thread may call it.

    One system call makes many ids. Python releases its lock during a system call. A thread that does so for each of
    10,000 documents takes the lock back before another thread wakes up, and each release restarts the other thread's
    wait for its turn: the event loop then stands still for up to 0.3 s.
    """
    while True:
        try:
            return _unused.pop()  # pop is atomic and each id is in the list once: none is handed out twice
        except IndexError:
            digits = os.urandom(_AT_ONCE * _BYTES).hex()
            _unused.extend(digits[start : start + 2 * _BYTES] for start in range(0, len(digits), 2 * _BYTES))
