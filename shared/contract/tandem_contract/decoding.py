"""Reads a message from bytes, and turns every way in which that can fail into one error that names the field.

msgspec raises several unrelated exceptions for bad input (its own, ``UnicodeDecodeError``, ``RecursionError``); a
handler that lets one of them through answers 500 for a client's mistake. All decoding goes through here.
"""

import json
import re
from typing import Any, Final, Literal, TypeVar, get_args, get_origin

import msgspec

from tandem_contract.errors import ErrorCode

T = TypeVar("T")

# msgspec closes a message about a field with its path: "... - at `$.documents[3].text`".
_PATH = re.compile(r" - at `\$\.?(?P<path>.*)`$")
_FIELD = re.compile(r"(?:unknown|required) field `(?P<field>.*?)`")
_WRONG_WORD: Final = "Invalid enum value "
_SURROGATE_ESCAPE = re.compile(rb"\\u[dD][89a-fA-F]")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


class InvalidMessage(Exception):
    """A message that cannot be accepted; the client has to change it.

    Attributes:
        message: for a person; says what was expected.
        code: the stable code of ``tandem_contract.errors``.
        param: path of the field, such as ``documents[3].text``; None where it is the whole message.
    """

    def __init__(self, message: str, *, code: ErrorCode, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code: ErrorCode = code
        self.param = param


def decode_json(body: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """Return the message in ``body``, which is JSON.

    Raises:
        InvalidMessage: if it is no JSON, no UTF-8, or not of the decoder's type.
    """
    try:
        return decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise _explain(error, body, "JSON", decoder.type) from error


def decode_msgpack(body: bytes, decoder: msgspec.msgpack.Decoder[T]) -> T:
    """Return the message in ``body``, which is MessagePack; raises as ``decode_json`` does."""
    try:
        return decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise _explain(error, b"", "MessagePack", decoder.type) from error


def _explain(error: Exception, body: bytes, syntax: str, kind: Any) -> InvalidMessage:
    if isinstance(error, UnicodeError):
        return InvalidMessage(
            f"the body is not valid UTF-8 ({error.reason if isinstance(error, UnicodeDecodeError) else error})",
            code="invalid_encoding",
        )
    if isinstance(error, RecursionError):
        return InvalidMessage("the body is nested too deeply", code="malformed_body")
    if isinstance(error, msgspec.ValidationError):
        return _explain_field(str(error), kind)
    if _SURROGATE_ESCAPE.search(body):
        surrogate = _lone_surrogate(body)
        if surrogate is not None:
            return surrogate
    if not body and syntax == "JSON":
        return InvalidMessage("the body is empty; a JSON object was expected", code="malformed_body")
    return InvalidMessage(f"the body is not valid {syntax}: {error}", code="malformed_body")


def _explain_field(text: str, kind: Any) -> InvalidMessage:
    found = _PATH.search(text)
    path = found["path"] if found else ""
    reason = text[: found.start()] if found else text
    named = _FIELD.search(reason)
    if named is None:
        param = path or None
        subject = param or "the body"
        words = _words_allowed(kind, path)
        if words and reason.startswith(_WRONG_WORD):
            reason = f"one of {', '.join(words)} was expected, not {reason.removeprefix(_WRONG_WORD)}"
        return InvalidMessage(f"{subject}: {reason[:1].lower()}{reason[1:]}", code="invalid_field", param=param)
    param = f"{path}.{named['field']}" if path else named["field"]
    if "unknown" in reason:
        return InvalidMessage(f"unknown field: {param}", code="unknown_field", param=param)
    return InvalidMessage(f"required field is missing: {param}", code="missing_field", param=param)


def _words_allowed(kind: Any, path: str) -> list[str]:
    """Return the words of a message's own field that takes one of a few; none for any other field."""
    if not (isinstance(kind, type) and issubclass(kind, msgspec.Struct)):
        return []
    found = next((field.type for field in msgspec.structs.fields(kind) if field.encode_name == path), None)
    return [str(word) for word in get_args(found)] if get_origin(found) is Literal else []


def _lone_surrogate(body: bytes) -> InvalidMessage | None:
    """Return the error for a lone half of a surrogate pair, which msgspec calls truncated data."""
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        return None
    path = _find_surrogate(parsed, "")
    if path is None:
        return None
    subject = path or "the body"
    return InvalidMessage(
        f"{subject}: holds a lone surrogate (\\ud800 to \\udfff without its pair), which is no character",
        code="invalid_encoding",
        param=path or None,
    )


def _find_surrogate(value: Any, path: str) -> str | None:
    # A stack of its own, not recursion: the value may be nested as deeply as the standard parser allows.
    stack: list[tuple[Any, str]] = [(value, path)]
    while stack:
        node, where = stack.pop()
        if isinstance(node, str):
            if _SURROGATE.search(node):
                return where
        elif isinstance(node, dict):
            for key, child in node.items():
                if _SURROGATE.search(key):
                    return where
                stack.append((child, f"{where}.{key}" if where else key))
        elif isinstance(node, list):
            stack.extend((child, f"{where}[{index}]") for index, child in enumerate(node))
    return None
