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
