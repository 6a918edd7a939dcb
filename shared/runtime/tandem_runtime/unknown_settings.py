"""Warnings about variables that begin with ``TANDEM_`` and are no setting: most are mistyped names.

One environment may serve both services, and neither service imports the other. So this module has the names of both; a
test compares them with the settings.
"""

import difflib
import re
from collections.abc import Mapping
from typing import Final

_PREFIX: Final = "TANDEM_"
_FOREIGN: Final = re.compile(r"URL$|TEST_|\w+_SERVICE_HOST$|\w+_SERVICE_PORT(_|$)|\w+_PORT_\d+_(TCP|UDP|SCTP)(_|$)")
"""Names of the clients, of the tests, and those that Kubernetes gives to pods for a Service ``tandem-…``."""

NAMES: Final = (
    "ACCESS_LOG",
    "ADMIN_TOKEN",
    "ALLOWED_HOSTS",
    "API_KEY",
    "API_KEY_FILE",
    "AUDIT_FILES",
    "AUDIT_LOG",
    "AUDIT_MAX_BYTES",
    "BULK_BATCH_BYTES",
    "BULK_BATCH_SIZE",
    "BULK_CALLS_IN_FLIGHT",
    "BULK_PERCENT",
    "BULK_TIMEOUT_SECONDS",
    "CANARY_SHADOW",
    "CANARY_URL",
    "CANARY_WEIGHT",
    "COMPRESS_MIN_BYTES",
    "CONSOLE",
    "CORS_ORIGINS",
    "DATA_DIR",
    "EMBEDDER_ALLOWED_HOSTS",
    "EMBEDDER_CA_FILE",
    "EMBEDDER_CLIENT_CERT_FILE",
    "EMBEDDER_CLIENT_KEY_FILE",
    "EMBEDDER_HOST",
    "EMBEDDER_MAX_BODY_BYTES",
    "EMBEDDER_MAX_BYTES_IN_FLIGHT",
    "EMBEDDER_MAX_CONNECTIONS",
    "EMBEDDER_MAX_TEXT_CHARS",
    "EMBEDDER_PORT",
    "EMBEDDER_SHUTDOWN_TIMEOUT_SECONDS",
    "EMBEDDER_TLS_CERT_FILE",
    "EMBEDDER_TLS_CLIENT_CA_FILE",
    "EMBEDDER_TLS_KEY_FILE",
    "EMBEDDER_TOKEN",
    "EMBEDDER_TOKEN_FILE",
    "EMBEDDER_URL",
    "EMBEDDINGS_TIMEOUT_SECONDS",
    "EMBED_ATTEMPT_SECONDS",
    "EMBED_TIMEOUT_SECONDS",
    "EXACT_BELOW",
    "FAILED_DOCUMENT_BYTES",
    "FAILED_DOCUMENT_SECONDS",
    "FILES_TIMEOUT_SECONDS",
    "FILE_MIB",
    "FILE_PROCESSES",
    "FILE_SECONDS",
    "GATEWAY_HOST",
    "GATEWAY_PORT",
    "INSECURE",
    "JOB_RETENTION_SECONDS",
    "JWT_ALGORITHMS",
    "JWT_AUDIENCE",
    "JWT_COLLECTIONS_CLAIM",
    "JWT_DEFAULT_COLLECTIONS",
    "JWT_DEFAULT_ROLE",
    "JWT_FILTER_CLAIM",
    "JWT_FILTER_REQUIRED",
    "JWT_ISSUER",
    "JWT_JWKS",
    "JWT_JWKS_CA_FILE",
    "JWT_JWKS_MAX_AGE_SECONDS",
    "JWT_JWKS_MIN_INTERVAL_SECONDS",
    "JWT_JWKS_PLAIN_HTTP",
    "JWT_JWKS_REFRESH_SECONDS",
    "JWT_JWKS_TIMEOUT_SECONDS",
    "JWT_LEEWAY_SECONDS",
    "JWT_ROLES",
    "JWT_ROLE_CLAIM",
    "JWT_SECRET",
    "JWT_SECRET_FILE",
    "KEY_LIMITS",
    "LOG_LEVEL",
    "MATRYOSHKA",
    "MAX_ANSWER_BYTES",
    "MAX_BATCH_TOKENS",
    "MAX_BODY_BYTES",
    "MAX_BULK_BATCH_TOKENS",
    "MAX_BYTES_IN_FLIGHT",
    "MAX_CLIENT_BATCH_SIZE",
    "MAX_COLLECTIONS",
    "MAX_CONNECTIONS",
    "MAX_DOCUMENTS_PER_REQUEST",
    "MAX_FILES_PER_REQUEST",
    "MAX_FILE_BYTES",
    "MAX_FILE_CHARS",
    "MAX_FINISHED_JOBS",
    "MAX_METADATA_BYTES",
    "MAX_PENDING_DOCUMENTS",
    "MAX_QUERY_CHARS",
    "MAX_QUEUED_QUERIES",
    "MAX_QUEUED_TOKENS",
    "MAX_QUEUED_WRITES",
    "MAX_RERANK_BODY_BYTES",
    "MAX_RERANK_DOCUMENTS",
    "MAX_TEXT_CHARS",
    "MAX_TOP_K",
    "MCP",
    "METRICS_CALLERS",
    "METRICS_KEY",
    "MILVUS_DATABASE",
    "MILVUS_TOKEN",
    "MILVUS_URL",
    "MODEL_ALIASES",
    "MODEL_DIR",
    "PGVECTOR_URL",
    "PRECISION",
    "QUERY_BATCH_SIZE",
    "QUERY_CACHE_SIZE",
    "QUERY_CALLS_IN_FLIGHT",
    "RERANKER_API",
    "RERANKER_BATCH_SIZE",
    "RERANKER_CALLS_IN_FLIGHT",
    "RERANKER_MODEL",
    "RERANKER_TOKEN",
    "RERANKER_URL",
    "RERANK_TIMEOUT_SECONDS",
    "RESOLVE_SECONDS",
    "ROLLBACK_COSINE",
    "ROLLBACK_ERROR_RATE",
    "ROLLBACK_P95_RATIO",
    "ROLLBACK_SAMPLES",
    "ROLLBACK_WINDOW_SECONDS",
    "SCRUB_SECONDS",
    "SEARCH_TIMEOUT_SECONDS",
    "SHUTDOWN_TIMEOUT_SECONDS",
    "SNAPSHOT_CHANGES",
    "SNAPSHOT_OVERLAY",
    "SNAPSHOT_PUBLISH_SECONDS",
    "SNAPSHOT_SECONDS",
    "SNAPSHOT_URL",
    "STORE_PREPARED",
    "STORE_URL",
    "STORE_URL_FILE",
    "STRICT_MODEL",
    "THREADS",
    "TLS_CERT_FILE",
    "TLS_CLIENT_CA_FILE",
    "TLS_KEY_FILE",
    "TRACING",
    "USAGE_DAYS",
    "WORKERS",
    "WRITE_TIMEOUT_SECONDS",
)
"""The variables of both services, former names included, without ``TANDEM_``; sorted."""


def warnings_of(environment: Mapping[str, str]) -> list[str]:
    """Return one line for each variable that is no setting, with the nearest setting; sorted, without values.

    A value may be a secret. An empty variable counts as absent, as it does for a setting.
    """
    lines = []
    for variable in sorted(environment):
        name = variable.removeprefix(_PREFIX)
        if name == variable or name in NAMES or not environment[variable] or _FOREIGN.match(name):
            continue
        line = f"{variable} is not a setting and has no effect"
        if nearest := difflib.get_close_matches(name.upper(), NAMES, n=1):
            line += f"; did you mean {_PREFIX}{nearest[0]}?"
        lines.append(line)
    return lines
