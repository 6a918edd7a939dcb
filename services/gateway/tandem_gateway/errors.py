"""The gateway's domain errors, classified by what the caller can do about them. They are independent of HTTP.

::

    GatewayError
    ├── InvalidRequest          the client must change the request; names the field
    ├── NotFound                the job, collection or document does not exist
    ├── Conflict                the request contradicts an earlier one
    ├── Unauthorized            the request has no valid key or operator token
    ├── Forbidden               the key of the request does not allow it
    ├── Overloaded              a limit is reached; retry later
    ├── RateLimited             the caller has used what its own limits allow; retry later
    ├── DeadlineExceeded        the caller's deadline has passed
    ├── EmbedderError           the call to the embedder failed
    │   ├── EmbedderUnavailable     it does not answer; retry later
    │   ├── EmbedderRejected        it refuses these texts; a retry cannot help
    │   └── EmbedderBroken          it sends a reply that the contract does not allow
    ├── RerankerError           the call to the rerank server failed
    │   ├── RerankerUnavailable     it does not answer; retry later
    │   ├── RerankerRejected        it refuses this query, these documents or this model; a retry cannot help
    │   └── RerankerBroken          it sends a reply that its API does not allow
    ├── FingerprintMismatch     the embedder's model is not the collection's
    ├── TooManyBytes            the documents are too large for an answer; the caller raises InvalidRequest instead
    ├── NotReady                the gateway is still starting
    ├── SnapshotUnusable        the index has no loadable snapshot and is built from the store
    │   ├── SnapshotOutdated        another release wrote the snapshot; nothing is damaged
    │   └── NoSnapshotYet           no snapshot was ever taken; nothing is wrong
    └── StorageError            the data directory failed
        ├── StorageUnavailable      the disk is full or read-only; nothing was acknowledged
        ├── StorageCorrupt          the data read is not the data written; an operator has to act
        └── StorageInUse            another process owns the data directory
"""

from tandem_contract.errors import ErrorCode


class GatewayError(Exception):
    """Base of the gateway's domain errors.

    ``str()`` is for clients. ``detail`` is for the operator's log; it may name files and addresses, and quote SQLite.
    """

    def __init__(self, message: str = "", *, detail: str | None = None) -> None:
        super().__init__(message)
        self.detail = detail or message


def for_log(error: BaseException) -> str:
    """Return the message for the operator's log, which may say more than the client's message."""
    return error.detail if isinstance(error, GatewayError) else str(error)


class InvalidRequest(GatewayError):
    """The client must change the request.

    Attributes:
        code: a 4xx code of the contract.
        param: path of the invalid field.
    """

    def __init__(self, message: str, *, param: str, code: ErrorCode = "invalid_field") -> None:
        super().__init__(message)
        self.param = param
        self.code: ErrorCode = code


class NotFound(GatewayError):
    """The requested resource does not exist; ``param`` names the field that identifies it."""

    def __init__(self, message: str, *, param: str) -> None:
        super().__init__(message)
        self.param = param


class Conflict(GatewayError):
    """The request contradicts an earlier one; ``param`` names the field or header."""

    def __init__(self, message: str, *, param: str) -> None:
        super().__init__(message)
        self.param = param


class Unauthorized(GatewayError):
    """The route needs an API key, a JWT or an operator token, and the request has none or a wrong one.

    Attributes:
        description: what is wrong with a JWT in general terms, in ASCII without quotation marks; empty for no JWT.
    """

    def __init__(self, message: str, *, description: str = "") -> None:
        super().__init__(message)
        self.description = description


class Forbidden(GatewayError):
    """The caller's key does not allow the request; ``param`` names the field or header that says so."""

    def __init__(self, message: str, *, param: str = "authorization") -> None:
        super().__init__(message)
        self.param = param


class Overloaded(GatewayError):
    """A limit is reached; ``retry_after`` is in seconds."""

    def __init__(self, message: str, *, retry_after: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class RateLimited(GatewayError):
    """The caller has used what its limits allow; ``param`` names the resource, ``retry_after`` is in seconds."""

    def __init__(self, message: str, *, param: str, retry_after: float) -> None:
        super().__init__(message)
        self.param = param
        self.retry_after = retry_after


class DeadlineExceeded(GatewayError):
    """The caller's deadline has passed."""


class EmbedderError(GatewayError):
    """Base of the errors between the gateway and an embedder."""


class EmbedderUnavailable(EmbedderError):
    """No embedder answers, or the embedder is not ready; ``retry_after`` is in seconds."""

    def __init__(self, message: str, *, retry_after: float = 1.0, detail: str | None = None) -> None:
        super().__init__(message, detail=detail)
        self.retry_after = retry_after


class EmbedderRejected(EmbedderError):
    """The embedder refuses these texts with a 4xx status, and would refuse them again.

    Attributes:
        code: the embedder's error code; None if it sent none.
        param: field of the call that the embedder refuses; None if it named none.
    """

    def __init__(self, message: str, *, code: str | None = None, param: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.param = param


class EmbedderBroken(EmbedderError):
    """The embedder's reply violates the contract: wrong number of rows, wrong length, or values that are not finite."""


class RerankerError(GatewayError):
    """Base of the errors between the gateway and a rerank server."""


class RerankerUnavailable(RerankerError):
    """No rerank server answers; ``retry_after`` is in seconds."""

    def __init__(self, message: str, *, retry_after: float = 1.0, detail: str | None = None) -> None:
        super().__init__(message, detail=detail)
        self.retry_after = retry_after


class RerankerRejected(RerankerError):
    """The rerank server refuses the request with a 4xx status, and would refuse it again."""


class RerankerBroken(RerankerError):
    """The rerank server's reply violates its API: a score is missing or not a number of the allowed range."""


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
    """The documents take more memory than the caller allows."""


class NotReady(GatewayError):
    """The gateway is starting: it checks the store or loads the index."""


class SnapshotUnusable(GatewayError):
    """The index has no snapshot that can be loaded; the message says why."""


class SnapshotOutdated(SnapshotUnusable):
    """Another release wrote the snapshot; nothing is damaged."""


class NoSnapshotYet(SnapshotUnusable):
    """The collection never had a snapshot."""


class StorageError(GatewayError):
    """Base of the errors of the data directory."""


class StorageUnavailable(StorageError):
    """The store could not be read or written; the operation was not done."""


class VectorsGone(StorageError):
    """A vector engine has no longer the generation of vectors that was asked for; another one may be published."""

    def __init__(self, detail: str | None = None) -> None:
        super().__init__("the vector engine has no longer these vectors", detail=detail)


class StorageCorrupt(StorageError):
    """The store's content is damaged; the message names the file and says what to do."""


class StorageInUse(StorageError):
    """Another process owns the data directory."""
