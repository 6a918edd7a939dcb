"""Random ids for documents without one."""

import hashlib
import itertools
import os
from typing import Final

_ID_BYTES: Final = 16


class _Ids:
    """Ids by BLAKE2b with a random key, over a counter: as random as the key, and never the same twice."""

    def __init__(self) -> None:
        self._key = os.urandom(hashlib.blake2b.MAX_KEY_SIZE)
        self._numbers = itertools.count()

    def next(self) -> str:
        number = next(self._numbers).to_bytes(
            8, "little"
        )  # one step for the interpreter: no two threads get one number
        return hashlib.blake2b(number, key=self._key, digest_size=_ID_BYTES).hexdigest()


_ids = _Ids()


def _begin_anew() -> None:
    global _ids  # noqa: PLW0603
    _ids = _Ids()


os.register_at_fork(after_in_child=_begin_anew)


def new_document_id() -> str:
    """Return 32 random hexadecimal digits; any thread may call it.

    It makes no system call. Python releases its lock during one and takes it back before another thread wakes up. Each
    release restarts the other thread's wait of 5 ms for its turn. A thread that makes ids for 10,000 documents and
    releases the lock more often than that keeps the event loop waiting for up to 0.3 s.
    """
    return _ids.next()
