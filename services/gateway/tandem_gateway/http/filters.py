"""Reads filters: JSON in, the tree of ``tandem_gateway.filters`` out."""

import json
from typing import Any, Final

import msgspec

from tandem_contract.decoding import Body, InvalidMessage, cut, decode_json
from tandem_gateway.errors import InvalidRequest
from tandem_gateway.filters.matching import exact_number
from tandem_gateway.filters.parsing import MAX_BYTES, parse_filter
from tandem_gateway.filters.tree import Filter

_AT: Final = "filter"
_decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(float_hook=exact_number)


def read_filter(given: Body) -> Filter:
    """Return the tree of a filter.

    Raises:
        InvalidRequest: it is not JSON or not a filter, or is over a limit; the error names the place, such as
            ``filter.year.$gte``.
    """
    if len(given) > MAX_BYTES:
        raise InvalidRequest(
            f"{_AT}: at most {MAX_BYTES} bytes of JSON are allowed, not {len(given)}", param=_AT, code="limit_exceeded"
        )
    try:
        content = decode_json(given, _decoder, at=_AT)
    except InvalidMessage as error:
        raise InvalidRequest(error.message, param=error.param or _AT) from None
    parsed = parse_filter(content)
    # msgspec keeps the last of two equal keys. A filter that loses a condition matches too much, and may delete it.
    json.loads(given, object_pairs_hook=_check_keys)
    return parsed


def _check_keys(pairs: list[tuple[str, Any]]) -> None:
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            raise InvalidRequest(
                f"{_AT}: the key {cut(key)!r} is there more than once; use one object of operators, or $and",
                param=_AT,
            )
        seen.add(key)
