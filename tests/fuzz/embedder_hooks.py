"""Hooks of ``tests.fuzz.hooks``, and MessagePack; schemathesis loads this module for the embedder's document."""

from typing import Any

import msgspec
import schemathesis

import tests.fuzz.hooks  # noqa: F401 - registers its hooks

_LONGEST_WAIT_MS = 30_000


@schemathesis.serializer("application/msgpack")
def serialize_msgpack(context: schemathesis.SerializationContext, value: Any) -> bytes:
    """Return the message; MessagePack has no integers of more than 64 bits."""
    try:
        return msgspec.msgpack.encode(value)
    except OverflowError:
        return msgspec.msgpack.encode(_narrow(value))


@schemathesis.deserializer("application/msgpack")
def deserialize_msgpack(context: Any, response: schemathesis.Response) -> Any:
    """Return the message of a reply."""
    return msgspec.msgpack.decode(response.content)


@schemathesis.hook
def filter_case(context: schemathesis.HookContext, case: "schemathesis.Case[Any]") -> bool:
    """Skip timeouts that a correct embedder may miss."""
    value = str(dict(case.headers or {}).get("x-request-timeout-ms", ""))
    return not value.isdigit() or int(value) >= _LONGEST_WAIT_MS


def _narrow(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _narrow(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_narrow(each) for each in value]
    return float(value) if isinstance(value, int) and not -(1 << 63) <= value < 1 << 64 else value
