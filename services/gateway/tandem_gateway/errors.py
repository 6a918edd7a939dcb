"""What can go wrong, typed by what is to be done about it. Nothing here knows HTTP.

::

    GatewayError
    ├── InvalidRequest          the client must change the request; names the field
    ├── NotFound                there is no such job, collection or document
    ├── Unauthorized            the caller does not show the operator's token
    ├── Overloaded              a bound is reached; try again after a while
    ├── DeadlineExceeded        the caller's time is up
    ├── EmbedderError           of the embedder, as the gateway sees it
    │   ├── EmbedderUnavailable     it does not answer; try again after a while
    │   ├── EmbedderRejected        it refuses these texts for what they are; trying again is no use
    │   └── EmbedderBroken          it answers what no embedder may answer
    ├── FingerprintMismatch     the embedder's model is not the collection's
    ├── TooManyBytes            documents are larger than an answer may be; the caller turns it into InvalidRequest
    ├── NotReady                the gateway is still starting
    ├── SnapshotUnusable        the index has no snapshot that can be loaded: it is built from the store
    │   └── NoSnapshotYet           none was ever taken, which is no fault
    └── StorageError            of the data directory
        ├── StorageUnavailable      the disk is full or read-only; nothing was acknowledged
        ├── StorageCorrupt          what was read is not what was written; a person has to look
        └── StorageInUse            another process owns the data directory
"""

from tandem_contract.errors import ErrorCode


class GatewayError(Exception):
    """Base of the gateway's domain errors; ``str()`` is a message for a person."""


def for_log(error: BaseException) -> str:
    """Return what the operator is told of an error, which may be more than a client is."""
    return error.detail if isinstance(error, StorageError) else str(error)


class InvalidRequest(GatewayError):
    """The request has to be changed.

    Attributes:
        code: one of the contract's codes for 4xx.
        param: path of the field.
    """

    def __init__(self, message: str, *, param: str, code: ErrorCode = "invalid_field") -> None:
        super().__init__(message)
        self.param = param
        self.code: ErrorCode = code


class NotFound(GatewayError):
    """There is no such thing; ``param`` names the field that was looked up."""

    def __init__(self, message: str, *, param: str) -> None:
        super().__init__(message)
        self.param = param


class Unauthorized(GatewayError):
    """What was asked for is for operators, and the caller has not shown to be one."""


class Overloaded(GatewayError):
    """A bound is reached; ``retry_after`` is in seconds."""

    def __init__(self, message: str, *, retry_after: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class DeadlineExceeded(GatewayError):
    """The time that the caller allows is over."""


class EmbedderError(GatewayError):
    """Base of what goes wrong between the gateway and an embedder."""


class EmbedderUnavailable(EmbedderError):
    """No embedder answers, or it says that it is not ready; ``retry_after`` is in seconds."""

    def __init__(self, message: str, *, retry_after: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class EmbedderRejected(EmbedderError):
    """The embedder refuses these texts (its 4xx); the same texts will be refused again."""


class EmbedderBroken(EmbedderError):
    """The embedder answered what the contract does not allow: other rows, other lengths, no numbers."""


class FingerprintMismatch(GatewayError):
    """The embedder's vectors cannot be compared with the collection's."""

    def __init__(self, collection: str, *, pinned: str, offered: str) -> None:
        super().__init__(
            f"collection {collection!r} holds vectors of model fingerprint {pinned}, the embedder makes "
            f"{offered}: point TANDEM_EMBEDDER_URL at an embedder of the first, use another collection, "
            f"or delete this one and ingest it again"
        )
        self.collection = collection


class TooManyBytes(GatewayError):
    """Documents take more memory than the caller allows."""


class NotReady(GatewayError):
    """The gateway is starting: the store is being checked or the index loaded."""


class SnapshotUnusable(GatewayError):
    """There is no snapshot of the index that can be loaded; the message says why."""


class SnapshotOutdated(SnapshotUnusable):
    """The snapshot is of another release: nothing is damaged."""


class NoSnapshotYet(SnapshotUnusable):
    """No snapshot was ever taken of this collection."""


class StorageError(GatewayError):
    """Base of what goes wrong with the data directory.

    ``str()`` is for clients. ``detail`` is for the operator's log: it may name files and quote SQLite.
    """

    def __init__(self, message: str, *, detail: str | None = None) -> None:
        super().__init__(message)
        self.detail = detail or message


class StorageUnavailable(StorageError):
    """The store could not be written or read; what was asked for was not done."""


class StorageCorrupt(StorageError):
    """The store's content is not what was written; the message names the file and what to do."""


class StorageInUse(StorageError):
    """Another process owns the data directory."""
