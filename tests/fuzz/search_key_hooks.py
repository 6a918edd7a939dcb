"""Hooks of ``tests.fuzz.hooks``, and a check of the role; schemathesis loads this module for a search key."""

from typing import Any

import schemathesis

import tests.fuzz.hooks  # noqa: F401 - registers its hooks

NEEDS_MORE = frozenset(
    {
        "ingest", "cancel_job", "retry_job", "put_collection", "delete_collection", "put_source",
        "patch_document", "delete_document", "delete_document_by_path", "delete_documents", "start_reembed",
        "switch_reembed", "roll_back_reembed", "delete_reembed", "get_reembed", "get_reembed_overlap",
        "list_jobs", "get_job", "list_job_documents", "follow_job", "get_traffic", "set_traffic", "create_key",
        "list_keys", "list_usage", "revoke_key", "rotate_key",
    }
)  # fmt: skip
"""Operations that change something, tell of jobs, or are the operators'."""


@schemathesis.check
def refuses_a_search_key(
    context: schemathesis.CheckContext, response: schemathesis.Response, case: "schemathesis.Case[Any]"
) -> None:
    """Fail unless exactly the operations that need another role answer 403."""
    operation = case.operation.definition.raw["operationId"]
    expected = {403} if operation in NEEDS_MORE else set()
    refused = {response.status_code} & {401, 403}
    assert refused == expected, f"{operation} answered {response.status_code} to a search key"
