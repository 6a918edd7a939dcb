"""Tunes Python's garbage collector for a serving process."""

import gc
from typing import Final

# Threshold of the youngest generation: new objects that reference counts have not freed. By default, a few running
# requests trigger a collection, which finds nothing: that takes 7 % of the gateway's time under load.
_YOUNG: Final = 10_000


def freeze() -> None:
    """Exclude all existing objects from collections, and collect less often. Call it once, when a service is ready.

    Those objects live until the process ends, so a collection during a request need not traverse them.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG)
