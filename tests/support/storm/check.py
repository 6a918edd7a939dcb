"""Compares everything that was acknowledged with the answers of a gateway that is ready."""

import random
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import msgspec

from tandem_contract.client_api import Collection, ReceivedSearchHit
from tandem_tools.client import ApiError
from tests.support.stack import Client
from tests.support.storm.model import CollectionModel, Content, JobModel, Violation

READ = 150
"""Number of documents of each collection that a check reads, if it does not read all."""
SEARCHED = 25
"""Number of documents of each collection that a check searches by their own texts."""
SEARCHED_AT_END = 300
OLD_JOBS = 20
TOP_K = 10
EMBED_SECONDS = 120.0
FOLLOW_SECONDS = 30.0
"""Time in which the keyword index has to follow."""

_THREADS = 4
_POLL_SECONDS = 0.05
T = TypeVar("T")


def check(
    client: Client,
    models: Iterable[CollectionModel],
    jobs: dict[str, JobModel],
    draw: random.Random,
    *,
    whole: bool = False,
) -> None:
    """Check documents, jobs and both searches, once every document is embedded.

    Args:
        client: of a gateway that is ready.
        models: the collections; afterwards no write to them is in doubt.
        jobs: by id; afterwards the older ones of them are forgotten.
        draw: chooses samples.
        whole: read every document and search many, not a sample of each.

    Raises:
        Violation: what is wrong.
    """
    with ThreadPoolExecutor(_THREADS) as threads:
        _each(threads, jobs.items(), lambda job: job[1].check(_job(client, job[0]), finished=False))
        listed = _embedded(client)
        for model in models:
            count = listed[model.name].document_count if model.name in listed else None
            ids = model.used if whole else model.differing() | _sample(draw, model.used, READ)
            model.settle(
                dict(zip(ids, threads.map(lambda key, m=model: read(client, m, key), ids), strict=True)), count
            )
            world = model.world or {}
            searched = _sample(draw, world, SEARCHED_AT_END if whole else SEARCHED)
            _each(threads, searched, lambda key, m=model: _check_search(client, m, key))
            if model.world is not None:
                _each(threads, model.gone, lambda content, m=model: _check_absence(client, m, content.text))
        _each(threads, jobs.items(), lambda job: job[1].check(_job(client, job[0]), finished=True))
    for job_id in [*jobs][:-OLD_JOBS]:
        del jobs[job_id]


def read(client: Client, model: CollectionModel, doc_id: str) -> Content | None:
    """Return a document's newest version, or None for 404."""
    try:
        found = client.document(doc_id, model.name)
    except ApiError as error:
        if error.status == 404:
            return None
        raise
    return Content(found.text, _number(msgspec.json.decode(found.metadata)))


def hits_of(found: Iterable[ReceivedSearchHit]) -> list[tuple[str, Content]]:
    """Return ids and versions of a search's hits."""
    return [(hit.id, Content(hit.text, _number(hit.metadata))) for hit in found]


def _number(metadata: Mapping[str, object]) -> int:
    number = metadata.get("n", -1)
    return number if isinstance(number, int) else -1


def _each(threads: ThreadPoolExecutor, items: Iterable[T], look: Callable[[T], None]) -> None:
    list(threads.map(look, list(items)))


def _sample(draw: random.Random, ids: Iterable[str], size: int) -> set[str]:
    known = sorted(ids)
    return set(draw.sample(known, min(size, len(known))))


def _embedded(client: Client) -> dict[str, Collection]:
    """Return the collections once no document waits for its vector."""
    until = time.monotonic() + EMBED_SECONDS
    while True:
        listed = {collection.name: collection for collection in client.collections()}
        if not any(collection.pending_documents for collection in listed.values()):
            return listed
        if time.monotonic() > until:
            raise Violation(f"documents still wait for their vectors after {EMBED_SECONDS:g} s: {listed}")
        time.sleep(_POLL_SECONDS)


def _job(client: Client, job_id: str):
    try:
        return client.job(job_id)
    except ApiError as error:
        if error.status == 404:
            raise Violation(f"the acknowledged job {job_id} is unknown") from error
        raise


def _check_search(client: Client, model: CollectionModel, doc_id: str) -> None:
    world = model.world
    assert world is not None
    expected = (doc_id, world[doc_id])
    hits = hits_of(client.search(expected[1].text, TOP_K, model.name, "dense").results)
    model.check_hits(hits, embedded=True)
    if hits[:1] != [expected]:
        raise Violation(f"{model.name}: vector search does not find {expected} first, but {hits}")
    if len({key for key, _ in hits}) != len(hits):
        raise Violation(f"{model.name}: vector search found a document twice: {hits}")
    hits = by_words(client, model, expected[1].text, lambda hits: expected in hits)
    if expected not in hits:
        raise Violation(f"{model.name}: keyword search does not find {expected}, but {hits}")


def _check_absence(client: Client, model: CollectionModel, text: str) -> None:
    model.check_hits(hits_of(client.search(text, TOP_K, model.name, "dense").results), embedded=True)
    by_words(client, model, text, lambda hits: True)


def by_words(
    client: Client, model: CollectionModel, text: str, enough: Callable[[list[tuple[str, Content]]], bool]
) -> list[tuple[str, Content]]:
    """Return the hits of a keyword search once they are enough, or after ``FOLLOW_SECONDS``.

    The keyword index follows the store, and answers 503 while it is built.
    """
    until = time.monotonic() + FOLLOW_SECONDS
    while True:
        late = time.monotonic() > until
        try:
            hits = hits_of(client.search(text, TOP_K, model.name, "lexical").results)
        except ApiError as error:
            if error.status != 503 or late:
                raise
        else:
            model.check_hits(hits, embedded=True)
            if enough(hits) or late:
                return hits
        time.sleep(_POLL_SECONDS)
