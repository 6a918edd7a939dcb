"""The content that a collection must have, although some writes got no reply.

A write without a reply took effect or did not. The model therefore keeps every possible content, a world. An answer of
the gateway has to agree with one of them, and the others are dropped then.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from tandem_contract.client_api import Job

_SHOWN = 5
_GONE = 20


class Violation(Exception):
    """The gateway lost, changed or returned something against its promise; the message says what."""


class Content(NamedTuple):
    """A version of a document."""

    text: str
    n: int
    """Its metadata: ``{"n": n}``."""


World = dict[str, Content] | None
"""Document id → newest version; None if there is no such collection."""

Change = Callable[[World], World]


def ingested(documents: Mapping[str, Content]) -> Change:
    """Return the change that an ingest makes."""
    return lambda world: {**(world or {}), **documents}


def deleted(doc_id: str) -> Change:
    """Return the change that the deletion of a document makes."""
    return lambda world: None if world is None else {key: kept for key, kept in world.items() if key != doc_id}


def dropped(world: World) -> World:
    """Return the content after the deletion of the collection."""
    return None


class CollectionModel:
    """The possible contents of one collection. One thread writes to the collection at a time."""

    def __init__(self, name: str, world: World = None) -> None:
        self.name = name
        self.worlds: list[World] = [world]
        self.used = set(world or {})
        """Every id that was ever sent."""
        self.gone: list[Content] = []
        """Some versions that are no longer there for certain."""
        self._sent = {doc_id: {content} for doc_id, content in (world or {}).items()}

    @property
    def world(self) -> World:
        """The content; no write may be in doubt."""
        (world,) = self.worlds
        return world

    def wrote(self, change: Change, documents: Mapping[str, Content] | None = None, *, acknowledged: bool) -> None:
        """Note a write, with the documents that it sent."""
        for doc_id, content in (documents or {}).items():
            self.used.add(doc_id)
            self._sent.setdefault(doc_id, set()).add(content)
        after = [change(world) for world in self.worlds]
        self.worlds = after if acknowledged else _distinct([*self.worlds, *after])
        self._forget()

    def differing(self) -> set[str]:
        """Return the ids that tell the worlds apart."""
        return {doc_id for doc_id in self.used if len({(world or {}).get(doc_id) for world in self.worlds}) > 1}

    def settle(self, found: Mapping[str, Content | None], count: int | None) -> None:
        """Compare with the gateway, and drop the worlds that it contradicts.

        Args:
            found: some ids with the version that the gateway returns, or None for 404; all of ``differing`` among them.
            count: number of documents, or None if the gateway lists no such collection.

        Raises:
            Violation: if it contradicts all of them.
        """

        def agrees(world: World) -> bool:
            same = all((world or {}).get(doc_id) == content for doc_id, content in found.items())
            return same and count == (None if world is None else len(world))

        fitting = [world for world in self.worlds if agrees(world)]
        if not fitting:
            raise Violation(self._account(found, count))
        self.worlds = fitting[:1]
        self._forget()

    def check_hits(self, hits: Iterable[tuple[str, Content]], *, embedded: bool) -> None:
        """Check that each hit of a search may be there.

        Args:
            hits: ids and versions.
            embedded: whether no document waits; else an older version of a document may be a hit.

        Raises:
            Violation: if a hit is deleted or has another content.
        """
        for doc_id, content in hits:
            possible = {(world or {}).get(doc_id) for world in self.worlds}
            if not embedded and possible != {None}:
                possible |= self._sent[doc_id]
            if content not in possible:
                raise Violation(f"{self.name}: a search returned {doc_id} with {content}, possible are {possible}")

    def _forget(self) -> None:
        """Forget the versions of each id that no world has any more."""
        there = {doc_id for world in self.worlds for doc_id in world or {}}
        for doc_id in self._sent.keys() - there:
            self.gone = [*self.gone, *self._sent.pop(doc_id)][-_GONE:]

    def _account(self, found: Mapping[str, Content | None], count: int | None) -> str:
        lines = [f"{self.name}: the content contradicts all {len(self.worlds)} possible ones"]
        for number, world in enumerate(self.worlds, 1):
            wrong = {key: seen for key, seen in found.items() if (world or {}).get(key) != seen}
            expected = "no collection" if world is None else f"{len(world)} documents"
            lines.append(
                f"  {number}: expected {expected}, found {count}; {len(wrong)} of {len(found)} documents differ"
            )
            lines += [
                f"     {key}: expected {(world or {}).get(key)}, found {seen}"
                for key, seen in [*wrong.items()][:_SHOWN]
            ]
        return "\n".join(lines)


@dataclass
class JobModel:
    """An acknowledged job."""

    total: int
    unchanged_at_most: int
    failed: int = 0
    processed: int = field(default=0, init=False)
    """As last seen: it never falls."""

    def check(self, job: Job, *, finished: bool) -> None:
        """Compare with the gateway's answer.

        Raises:
            Violation: if a count is wrong.
        """
        wrong = (
            job.total_documents != self.total
            or not self.processed <= job.processed_documents <= self.total
            or job.unchanged_documents > self.unchanged_at_most
            or job.failed_documents > self.failed
            or (finished and (job.status not in ("completed", "failed") or job.processed_documents != self.total))
            or (finished and job.failed_documents != self.failed)
        )
        if wrong:
            raise Violation(f"a job has wrong counts: expected {self}, found {job}")
        self.processed = job.processed_documents


def _distinct(worlds: list[World]) -> list[World]:
    kept: list[World] = []
    for world in worlds:
        if world not in kept:
            kept.append(world)
    return kept
