"""Limits the requests that schemathesis makes; schemathesis loads this module itself."""

from typing import Any

import schemathesis

_INTEGERS = ("top_k", "limit", "offset", "k", "canary_weight", "shadow_percent")


@schemathesis.hook
def filter_body(context: schemathesis.HookContext, body: Any) -> bool:
    """Skip an integer written as 5.0: JSON Schema accepts it, the API refuses it and names the field."""
    if isinstance(body, list):
        return all(filter_body(context, each) for each in body)
    if not isinstance(body, dict):
        return True
    return all(
        filter_body(context, value) and not (name in _INTEGERS and isinstance(value, float))
        for name, value in body.items()
    )


@schemathesis.hook
def filter_case(context: schemathesis.HookContext, case: schemathesis.Case) -> bool:
    """Skip a page that is asked for with an id, with a text that is no filter, or with a cursor of no page."""
    names = (case.query or {}).keys()
    return len(names & {"id", "limit"}) <= 1 and not names & {"filter", "cursor"}
