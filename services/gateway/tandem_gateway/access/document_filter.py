"""The filter of a key: the documents that its holder may use, and the names that these have in the store.

Two holders may give the same id to different documents of one collection. So the store has an id of a holder behind a
prefix that follows from the filter, and the wrappers of the use cases add and remove it. A document that a key without
a filter stored has no prefix. The holder of a filter that it matches uses it under its stored id.
"""

import base64
import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from tandem_gateway.errors import Overloaded, StorageCorrupt
from tandem_gateway.filters.matching import matches_json
from tandem_gateway.filters.tree import EVERYTHING, Both, Equals, Filter, Key, key_of
from tandem_gateway.records.documents import DocumentView, JobRecord
from tandem_gateway.records.namespaces import Namespace
from tandem_gateway.use_cases.validation import MAX_ID_CHARS

_HASH_BYTES: Final = 16
_JOB_BYTES: Final = 8
_canonical: Final = msgspec.json.Encoder(order="sorted")

Equalities = Mapping[str, str | int | bool]
"""Field of metadata → its value."""


@dataclass(frozen=True, slots=True)
class DocumentFilter:
    """The filter of a key; ``make_filter`` makes it.

    Attributes:
        json: the equalities as canonical JSON.
        equalities: field → value, with the value's type; every document of the holder has them.
        condition: the equalities as a filter.
        namespace: see ``Namespace``.
    """

    json: str
    equalities: Mapping[str, Key] = dataclasses.field(compare=False)
    condition: Filter = dataclasses.field(compare=False)
    namespace: Namespace = dataclasses.field(compare=False)

    @property
    def most_chars(self) -> int:
        """Maximum length of an id that the holder gives, in characters."""
        return MAX_ID_CHARS - len(self.namespace.names)

    @property
    def job_begin(self) -> str:
        """Begin of the ids of jobs of keys with this filter."""
        return f"job_{self.namespace.jobs}"

    def stored(self, name: str) -> str:
        """Return the name that the store has for a name that the holder gives."""
        return self.namespace.names + name

    def candidates(self, doc_id: str) -> list[str]:
        """Return the stored ids that the holder may mean: of its own document, then of a shared one."""
        return self.own([doc_id]) + self.shared([doc_id])

    def own(self, doc_ids: Sequence[str]) -> list[str]:
        """Return the stored ids of the documents that the holder itself may have stored."""
        return [self.stored(doc_id) for doc_id in doc_ids if len(doc_id) <= self.most_chars]

    def shared(self, doc_ids: Sequence[str]) -> list[str]:
        """Return the stored ids of the documents that a key without a filter may have stored."""
        return [doc_id for doc_id in doc_ids if not doc_id.startswith(self.namespace.names)]

    def shown(self, stored: str) -> str:
        """Return a stored id as the holder sees it."""
        return stored.removeprefix(self.namespace.names)

    def text(self, message: str) -> str:
        """Return a message without the prefix of the holder's names."""
        return message.replace(self.namespace.names, "")

    def view(self, view: DocumentView) -> DocumentView:
        """Return a document as the holder sees it."""
        source = None if view.source is None else self.shown(view.source)
        return dataclasses.replace(view, doc_id=self.shown(view.doc_id), source=source)

    def job(self, job: JobRecord) -> JobRecord:
        """Return a job as the holder sees it."""
        failures = [(self.shown(doc_id), self.text(error)) for doc_id, error in job.failures]
        return dataclasses.replace(job, failures=failures)

    def has_job(self, job_id: str) -> bool:
        """Return whether a job is of a key with this filter."""
        return job_id.startswith(self.job_begin)

    def allows(self, metadata: str) -> bool:
        """Return whether the holder may use a document with this metadata, JSON text.

        Raises:
            StorageCorrupt: it is no JSON.
        """
        try:
            return matches_json(self.condition, metadata)
        except msgspec.MsgspecError:
            raise StorageCorrupt(
                "documents: the metadata of a document is not what was written; run `python -m tandem_gateway verify`"
            ) from None

    def narrowed(self, condition: Filter | None) -> Filter:
        """Return a filter for the documents that match ``condition`` and that the holder may use."""
        if condition is None or condition == EVERYTHING:
            return self.condition
        return Both((self.condition, condition))


def without_counts(error: Overloaded) -> Overloaded:
    """Return an error of a write that does not tell how many documents of other callers wait."""
    return Overloaded(
        "documents: too many documents or writes wait already (TANDEM_MAX_PENDING_DOCUMENTS, TANDEM_MAX_QUEUED_WRITES)",
        retry_after=error.retry_after,
    )


def make_filter(equalities: Equalities) -> DocumentFilter:
    """Return the filter of a key.

    Args:
        equalities: as ``key_administration.check_equalities`` allows them.
    """
    canonical = _canonical.encode(equalities)
    keys: dict[str, Key] = {}
    for name, value in sorted(equalities.items()):
        key = key_of(value)
        assert key is not None
        keys[name] = key
    parts: Sequence[Filter] = [Equals(name, frozenset([key])) for name, key in keys.items()]
    digest = hashlib.blake2b(canonical, digest_size=_HASH_BYTES, person=b"names").digest()
    return DocumentFilter(
        canonical.decode(),
        keys,
        parts[0] if len(parts) == 1 else Both(tuple(parts)),
        Namespace(
            f"~{base64.urlsafe_b64encode(digest).decode().rstrip('=')}~",
            hashlib.blake2b(canonical, digest_size=_JOB_BYTES, person=b"jobs").hexdigest(),
        ),
    )


def read_filter(canonical: str) -> DocumentFilter:
    """Return the filter of a key from its JSON.

    Raises:
        MsgspecError: it is no JSON.
    """
    decoded: Any = msgspec.json.decode(canonical)
    return make_filter(decoded)
