"""A follower of the changes and of the texts, which remembers what it has read."""

from pathlib import Path

from tandem_gateway.adapters.postgres.index_feed import PostgresIndexFeed
from tandem_gateway.adapters.snapshots import Snapshots
from tandem_gateway.adapters.usearch_index import UsearchGraphFactory
from tandem_gateway.index.indexes import Indexes
from tandem_gateway.index.snapshot_update import Places

_LIMIT = 100


class Follower:
    """Follows a store as a gateway does: the vectors with the gateway's indexes, the texts by their ids."""

    def __init__(self, url: str, folder: Path) -> None:
        self.feed = PostgresIndexFeed(url)
        self._indexes = Indexes(Places(self.feed, Snapshots(folder), UsearchGraphFactory()))
        self._indexes.load()
        self._text = 0
        self.texts: dict[int, int] = {}
        """Passage → collection of each text."""
        self.twice: list[int] = []
        """Passages whose texts were read more than once."""

    def follow(self) -> None:
        """Read what is new."""
        self._indexes.follow()
        while True:
            with self.feed.reading():
                page = self.feed.texts(self._text, limit=_LIMIT, max_chars=1 << 20)
                last = self.feed.last_passage()
            self.twice += [each.passage_id for each in page.passages if each.passage_id in self.texts]
            self.texts |= {each.passage_id: each.collection_id for each in page.passages}
            self._text = page.upto
            if page.upto == last:
                return

    def missing(self) -> dict[str, tuple[set[int], set[int]]]:
        """Return by collection what the follower lacks and what it has too much; empty if it agrees with the store.

        Nothing may write meanwhile.
        """
        self.follow()
        found: dict[str, tuple[set[int], set[int]]] = {}
        for record in self.feed.collections():
            if record.dim is None:
                continue
            there = set(self.feed.passage_ids(record.space_id).tolist())
            held = set(self._indexes._followed[record.space_id].index.keys().tolist())
            if there != held:
                found[record.name] = there - held, held - there
            texts = set(self.feed.text_ids(record.collection_id).tolist())
            if not texts <= self.texts.keys():
                found[f"texts of {record.name}"] = texts - self.texts.keys(), set()
        return found

    def close(self) -> None:
        self._indexes.close()
