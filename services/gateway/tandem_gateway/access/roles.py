"""The smallest role of each operation, to tell callers without a key. The wrappers of the use cases decide."""

from typing import Final

from tandem_gateway.records.access import Role

_INGEST: Final = frozenset(
    {
        "ingest",
        "ingest_files",
        "load_file",
        "list_jobs",
        "get_job",
        "list_job_documents",
        "follow_job",
        "cancel_job",
        "retry_job",
        "patch_document",
        "delete_document",
        "delete_document_by_path",
        "delete_documents",
        "put_source",
    }
)
_ADMIN: Final = frozenset(
    {
        "put_collection",
        "delete_collection",
        "start_reembed",
        "get_reembed",
        "delete_reembed",
        "switch_reembed",
        "roll_back_reembed",
        "get_reembed_overlap",
        "get_traffic",
        "set_traffic",
        "create_key",
        "list_keys",
        "revoke_key",
        "rotate_key",
    }
)


def role_for(operation: str) -> Role:
    """Return the smallest role that may call an operation of a route that is not open."""
    if operation in _ADMIN:
        return "admin"
    return "ingest" if operation in _INGEST else "search"
