"""HTTP header names and media types; lower case, as ASGI delivers them."""

REQUEST_ID = "x-request-id"
"""The client's id if it is well formed, else a generated one; present on every response and in the logs."""

TIMEOUT_MS = "x-request-timeout-ms"
"""The caller's timeout in milliseconds, from the request's arrival; the service drops the work after it."""

IDEMPOTENCY_KEY = "idempotency-key"
"""The client's name for an ingest; the same ingest with the same key is done once."""

FILENAME = "x-filename"
"""Name of the file in the body, in UTF-8 with percent-encoding."""
MAX_FILENAME_BYTES = 3_000

TRUNCATED_INPUTS = "tandem-truncated-inputs"
"""Number of texts of a request for vectors that were cut at the model's limit; absent if there are none."""

TRUNCATED_DOCUMENTS = "x-truncated-documents"
"""Number of documents of a reranking of which the model read only the beginning; absent if there are none."""

POSITION = "x-tandem-position"
"""On replies of the client API: the store's id, a dot and a position of the store, at which it has all that the reply
tells. On searches with the consistency ``session``: the position that the answer must have. Opaque to clients."""

TRACEPARENT = "traceparent"
TRACESTATE = "tracestate"
"""W3C Trace Context; the service forwards both headers unchanged."""

JSON = "application/json"
NDJSON = "application/x-ndjson"
FORM = "multipart/form-data"
"""Its parameter ``boundary`` separates the parts."""
MSGPACK = "application/msgpack"

AUTHORIZATION = "authorization"
"""``Bearer TOKEN``: the token that a service demands of its callers."""

EMBEDDER_TOKEN = "x-embedder-token"  # noqa: S105 - a header's name
"""On an embedder's /readyz, if it demands a token: ``accepted`` or ``refused``, for the request's own token."""
