"""Limits the requests that schemathesis makes; schemathesis loads this module itself."""

from typing import Any

import schemathesis

from tandem_gateway.filters.parsing import MAX_CONDITIONS

_INTEGERS = (
    "top_k", "top_n", "limit", "offset", "k", "canary_weight", "shadow_percent", "max_tokens", "overlap_tokens",
    "dimensions", "count", "expires_in_seconds",
)  # fmt: skip


@schemathesis.hook
def filter_body(context: schemathesis.HookContext, body: Any) -> bool:
    """Skip what no schema can say.

    An integer written as 5.0, which JSON Schema accepts; a filter of more conditions than are allowed; an overlap of
    more than half a passage; a search that asks for what it leaves out; the name of a reranker's model.
    """
    if isinstance(body, dict) and (_conditions(body.get("filter")) > MAX_CONDITIONS or _contradicts(body)):
        return False
    if isinstance(body, dict) and isinstance(body.get("rerank"), dict) and isinstance(body["rerank"].get("model"), str):
        return False
    if isinstance(body, list):
        return all(filter_body(context, each) for each in body)
    if not isinstance(body, dict):
        return True
    if not _fits(body.get("max_tokens"), body.get("overlap_tokens")):
        return False
    return all(
        filter_body(context, value) and not (name in _INTEGERS and isinstance(value, float))
        for name, value in body.items()
    )


def _contradicts(body: dict[str, Any]) -> bool:
    """Return whether a part of a hit is in both lists of a search."""
    given = [body.get("include"), body.get("exclude")]
    asked, left_out = (
        [each for each in names if isinstance(each, str)] if isinstance(names, list) else [] for names in given
    )
    return not set(asked).isdisjoint(left_out)


def _fits(max_tokens: Any, overlap_tokens: Any) -> bool:
    if not isinstance(max_tokens, int) or not isinstance(overlap_tokens, int):
        return True
    return overlap_tokens <= max_tokens // 2


def _conditions(value: Any) -> int:
    """Return how many names the objects of a filter have; a filter has no more conditions than these."""
    if isinstance(value, list):
        return sum(map(_conditions, value))
    return sum(1 + _conditions(each) for each in value.values()) if isinstance(value, dict) else 0


@schemathesis.serializer("application/x-ndjson")
def serialize_ndjson(context: schemathesis.SerializationContext, value: str) -> bytes:
    """Return the text as it is; ``filter_case`` skips it."""
    return value.encode()


@schemathesis.hook
def filter_case(context: schemathesis.HookContext, case: "schemathesis.Case[Any]") -> bool:
    """Skip what no schema can say.

    A cursor, a position of this store, a filter as text, a vector, days in the wrong order, parameters that exclude
    each other, and several limits of a key, of which two may be on the same thing.
    """
    names = (case.query or {}).keys()
    if "x-tandem-position" in {name.lower() for name in case.headers or {}}:
        return False
    if case.operation.path == "/v1/admin/usage":
        return not names & {"from", "to"}
    if case.operation.path == "/v1/admin/keys" and isinstance(case.body, dict):
        limits = case.body.get("limits")
        return not isinstance(limits, list) or len(limits) <= 1
    if case.operation.path.endswith("/sources/{source}") and _has_ids_twice(case.body):
        return False
    if (
        case.operation.path in ("/v1/ingest/files", "/process")
        and case.meta is not None
        and case.meta.generation.mode.is_positive
    ):
        return False  # no schema can say what a file is named, and its bytes are rarely a PDF
    if case.operation.path.endswith("/rerank"):  # only the name of the model that serves is accepted
        return not isinstance(case.body, dict) or not isinstance(case.body.get("model"), str)
    if isinstance(case.body, dict) and isinstance(case.body.get("dimensions"), int):
        return False  # the dimension is the model's
    if case.operation.path == "/v1/search/similar":  # the dimension is the collection's
        return not isinstance(case.body, dict) or not isinstance(case.body.get("vector"), list)
    if case.operation.path == "/v1/ingest":  # documents as lines are any text to a schema
        return not names & {"collection", "on_error"} and case.media_type != "application/x-ndjson"
    return len(names & {"id", "limit"}) <= 1 and not names & {"filter", "cursor"}


def _has_ids_twice(body: Any) -> bool:
    """Return whether a source has an id twice; a number stands for its text."""
    documents = body.get("documents") if isinstance(body, dict) else None
    if not isinstance(documents, list):
        return False
    ids = [str(each.get("id")) for each in documents if isinstance(each, dict)]
    return len(set(ids)) != len(ids)
