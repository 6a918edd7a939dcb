"""Verifies and rebuilds the keyword index of a stopped gateway, for the ``verify`` and ``rebuild`` commands."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from tandem_gateway.adapters.sqlite.lexical.cache import LexicalCache
from tandem_gateway.adapters.sqlite.lexical.file import FILE_NAME, CacheOutdated, CacheUnusable, remove
from tandem_gateway.adapters.sqlite.lexical.follower import LexicalFollower
from tandem_gateway.ports.text_log import TextFeed

Print = Callable[[str], None]

_ADVICE = "run `python -m tandem_gateway rebuild`"
_TELL_EVERY = 100_000


def exists(data_dir: Path) -> bool:
    """Return whether there is a keyword index."""
    return (data_dir / FILE_NAME).exists()


def forget(data_dir: Path) -> None:
    """Remove the keyword index of a stopped gateway; the next start builds it from the store."""
    remove(data_dir / FILE_NAME)


def verify(data_dir: Path, open_feed: Callable[[], TextFeed], report: Print) -> bool:
    """Check the keyword index: its structure, and that it has every passage of the store up to its position.

    Returns:
        Whether the index is sound. A missing or outdated index is sound too: the gateway brings it up to date.

    Raises:
        StorageError: if the store or the index cannot be read.
    """
    path = data_dir / FILE_NAME
    if not path.exists():
        report("keyword index: there is none yet; the next start builds it from the store")
        return True
    feed = open_feed()
    try:
        last = feed.last_passage()
        cache = LexicalCache(path, feed.store_id(), last, feed.last_change())
        try:
            cache.check()
            for record in feed.collections():
                wanted = feed.text_ids(record.collection_id)
                missing = np.setdiff1d(wanted[wanted <= cache.position], cache.passage_ids(record.collection_id))
                if len(missing):
                    raise CacheUnusable(f"it lacks {len(missing)} passages of collection {record.name}")
            report(f"keyword index: agrees with the store up to passage {cache.position} of {last}")
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
        feed.close()


def rebuild(data_dir: Path, open_feed: Callable[[], TextFeed], report: Print) -> int:
    """Rebuild the keyword index and return how many passages it holds.

    Raises:
        StorageError: if the store cannot be read, or the index cannot be written.
    """
    remove(data_dir / FILE_NAME)
    follower = LexicalFollower(data_dir, open_feed())
    try:
        told = 0
        while follower.step():
            if follower.total >= told + _TELL_EVERY:
                told = follower.total
                report(f"keyword index: {told} passages")
        return follower.total
    finally:
        follower.close()
