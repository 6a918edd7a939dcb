"""Verifies and rebuilds the keyword index of a stopped gateway, for the ``verify`` and ``rebuild`` commands."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from tandem_gateway.adapters.sqlite import counters, index_reads, reads
from tandem_gateway.adapters.sqlite.connection import FILE_NAME as STORE_NAME
from tandem_gateway.adapters.sqlite.connection import connect, translated
from tandem_gateway.adapters.sqlite.lexical.cache import LexicalCache
from tandem_gateway.adapters.sqlite.lexical.file import FILE_NAME, CacheOutdated, CacheUnusable, remove
from tandem_gateway.adapters.sqlite.lexical.follower import LexicalFollower

Print = Callable[[str], None]

_ADVICE = "run `python -m tandem_gateway rebuild`"
_TELL_EVERY = 100_000


def verify(data_dir: Path, report: Print) -> bool:
    """Check the keyword index: its structure, and that it has every row of the store up to its position.

    Returns:
        Whether the index is sound. A missing or outdated index is sound too: the gateway brings it up to date.

    Raises:
        StorageError: if the store or the index cannot be read.
    """
    path = data_dir / FILE_NAME
    if not path.exists():
        report("keyword index: there is none yet; the next start builds it from the store")
        return True
    store_path = data_dir / STORE_NAME
    store = connect(store_path, writable=False)
    try:
        with translated(store_path):
            last = counters.value(store, "passage")
            cache = LexicalCache(path, reads.store_id(store), last)
        try:
            cache.check()
            for record in reads.collections(store):
                wanted = index_reads.all_passage_ids(store, record.collection_id)
                missing = np.setdiff1d(wanted[wanted <= cache.position], cache.row_ids(record.collection_id))
                if len(missing):
                    raise CacheUnusable(f"it lacks {len(missing)} rows of collection {record.name}")
            report(f"keyword index: agrees with the store up to row {cache.position} of {last}")
            return True
        finally:
            cache.close()
    except CacheOutdated as error:
        report(f"keyword index: {error}; the next start rebuilds it")
        return True
    except CacheUnusable as error:
        report(f"keyword index: {error}; {_ADVICE}")
        return False
    finally:
        store.close()


def rebuild(data_dir: Path, report: Print) -> int:
    """Rebuild the keyword index and return how many documents it holds.

    Raises:
        StorageError: if the store cannot be read, or the index cannot be written.
    """
    remove(data_dir / FILE_NAME)
    follower = LexicalFollower(data_dir)
    try:
        told = 0
        while follower.step():
            if follower.total >= told + _TELL_EVERY:
                told = follower.total
                report(f"keyword index: {told} documents")
        return follower.total
    finally:
        follower.close()
