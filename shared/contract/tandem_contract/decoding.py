"""Decodes a message from bytes, and turns every failure into one error type that names the field.

msgspec raises several unrelated exceptions for bad input (its own, ``UnicodeDecodeError``, ``RecursionError``). A
handler that lets one of them through answers 500 for a client's mistake. All decoding therefore uses this module.

The explanation of an error never costs more than the message did. It searches the client's text only for fixed strings
and quotes at most ``MAX_QUOTED_CHARS``. It parses a body a second time only up to ``MAX_EXPLAINED_BYTES``.
"""

import json
import re
from collections.abc import Iterator
from types import UnionType
from typing import Any, Final, Literal, TypeVar, Union, get_args, get_origin

import msgspec

from tandem_contract.errors import ErrorCode

T = TypeVar("T")
Body = bytes | bytearray

MAX_QUOTED_CHARS: Final = 200
"""Messages cut a longer name or value of the client."""
MAX_EXPLAINED_BYTES: Final = 1 << 16
"""Messages do not give the place of a lone surrogate in a larger body."""

# msgspec closes a message about a field with its path: "... - at `$.documents[3].text`".
_BEFORE_PATH: Final = " - at `$"
_STEP: Final = re.compile(r"\[[^\]]*\]|[^.\[]+")
_UNKNOWN: Final = "Object contains unknown field `"
_MISSING: Final = "Object missing required field `"
_LIMIT: Final = "of length <= "
_WRONG_WORD: Final = "Invalid enum value "
_WRONG_TYPE: Final = "Expected `"
# msgspec names scalars as Python does; clients know the names of JSON.
_JSON_TYPES: Final = {"str": "string", "int": "integer", "float": "number", "bool": "boolean"}
_PYTHON_TYPE: Final = re.compile(rf"\b({'|'.join(_JSON_TYPES)})\b")
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
# Prefixes of msgspec's messages for half a surrogate pair, in most places.
_SURROGATE_MESSAGES: Final = ("Input data was truncated", "JSON is malformed: invalid utf-16 surrogate pair")
# Every surrogate's escape begins like this, and so do other escapes.
_SURROGATE_ESCAPES: Final = (b"\\ud", b"\\uD")


class InvalidMessage(Exception):
    """The message is invalid; the client has to change it.

    Attributes:
        message: for a person; names the expectation.
        code: the stable code of ``tandem_contract.errors``.
        param: path of the field, such as ``documents[3].text``; None for the whole message.
    """

    def __init__(self, message: str, *, code: ErrorCode, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code: ErrorCode = code
        self.param = param


def decode_json(body: Body, decoder: msgspec.json.Decoder[T], *, at: str = "") -> T:
    """Decode a JSON message; skip a byte order mark before it (RFC 8259, section 8.1).

    Args:
        body: the request's body, or the part that ``at`` names.
        decoder: of the message's type.
        at: path of the part in the whole message, such as ``documents[3]``; empty for the whole message.

    Raises:
        InvalidMessage: if it is not JSON, not UTF-8, or not of the decoder's type.
    """
    try:
        return decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        if not at and body.startswith(_BYTE_ORDER_MARK):
            return decode_json(body[len(_BYTE_ORDER_MARK) :], decoder, at=at)
        # Raise it without a local variable. A variable in the traceback's own frame would make a reference cycle, which
        # keeps the body in memory until the next garbage collection.
        raise _explain(error, body, "JSON", decoder.type, at) from None


def decode_msgpack(body: Body, decoder: msgspec.msgpack.Decoder[T]) -> T:
    """Decode a MessagePack message; raises as ``decode_json`` does."""
    try:
        return decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise _explain(error, b"", "MessagePack", decoder.type, "") from None


def cut(text: str, most: int = MAX_QUOTED_CHARS) -> str:
    """Shorten a text for a message: at most ``most`` characters, and a mark if the function cut any."""
    return text if len(text) <= most else f"{text[:most]}... ({len(text)} characters)"


def _explain(error: Exception, body: Body, syntax: str, kind: Any, at: str) -> InvalidMessage:
    subject = at or "the body"
    if isinstance(error, UnicodeError):
        reason = error.reason if isinstance(error, UnicodeDecodeError) else cut(str(error))
        return InvalidMessage(f"{subject} is not valid UTF-8 ({reason})", code="invalid_encoding", param=at or None)
    if isinstance(error, msgspec.ValidationError):
        return _explain_field(str(error), kind, at)
    return _explain_syntax(error, body, syntax, at)


def _explain_syntax(error: Exception, body: Body, syntax: str, at: str) -> InvalidMessage:
    """Return the error for a message that breaks the rules of its syntax."""
    subject = at or "the body"
    if isinstance(error, RecursionError):
        return InvalidMessage(f"{subject} is nested too deeply", code="malformed_body", param=at or None)
    text = str(error)
    if any(escape in body for escape in _SURROGATE_ESCAPES):
        surrogate = _lone_surrogate(body, at, text)
        if surrogate is not None:
            return surrogate
    if not body and syntax == "JSON" and not at:
        return InvalidMessage("the body is empty; a JSON object was expected", code="malformed_body")
    if body[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return InvalidMessage(f"{subject} is UTF-16; JSON in UTF-8 was expected", code="invalid_encoding")
    return InvalidMessage(f"{subject} is not valid {syntax}: {cut(text)}", code="malformed_body", param=at or None)


def _explain_field(text: str, kind: Any, at: str) -> InvalidMessage:
    reason, path = _split_path(text)
    for opening in (_UNKNOWN, _MISSING):
        if reason.startswith(opening):
            param = _joined(_joined(at, path), cut(reason[len(opening) : -1]))
            if opening == _UNKNOWN:
                known = _fields_known(_type_at(kind, path))
                return InvalidMessage(f"unknown field: {param}{known}", code="unknown_field", param=param)
            return InvalidMessage(f"required field is missing: {param}", code="missing_field", param=param)
    words = _words_allowed(_type_at(kind, path))
    if words and reason.startswith(_WRONG_WORD):
        reason = f"one of {', '.join(words)} was expected, not {cut(reason.removeprefix(_WRONG_WORD))}"
    if reason.startswith(_WRONG_TYPE):
        reason = _PYTHON_TYPE.sub(lambda found: _JSON_TYPES[found[0]], reason)
    place = _joined(at, path)
    said = f"{place or 'the body'}: {reason[:1].lower()}{cut(reason[1:])}"
    return InvalidMessage(said, code="limit_exceeded" if _LIMIT in reason else "invalid_field", param=place or None)


def _split_path(text: str) -> tuple[str, str]:
    """Split msgspec's message into the reason and the field's path; the path holds no text of the client."""
    place = text.rfind(_BEFORE_PATH)
    if place < 0:
        return text, ""
    reason, path = text[:place], text[place + len(_BEFORE_PATH) : -1]
    if reason.startswith((_UNKNOWN, _MISSING)) and not reason.endswith("`"):
        return text, ""  # the apparent path is part of the field's name
    return reason, path.removeprefix(".")


def _joined(path: str, step: str) -> str:
    if not path or not step:
        return path or step
    return f"{path}{step}" if step.startswith("[") else f"{path}.{step}"


def _fields_known(kind: Any) -> str:
    """Return the end of a message that lists the fields of a message's type; empty for any other type."""
    struct = next(filter(_is_struct, _choices(kind)), None)
    if struct is None:
        return ""
    return f"; the fields are {', '.join(field.encode_name for field in msgspec.structs.fields(struct))}"


def _words_allowed(kind: Any) -> list[str]:
    """Return the words of the Literals among a type's choices."""
    return [str(word) for choice in _choices(kind) if get_origin(choice) is Literal for word in get_args(choice)]


def _type_at(kind: Any, path: str) -> Any:
    """Return the type of the value at a path of msgspec's, such as ``documents[0].format``; None if it is not known."""
    for step in _STEP.findall(path):
        found = None
        for choice in _choices(kind):
            if step.startswith("["):
                if get_origin(choice) in (list, tuple):
                    found = get_args(choice)[0]
            elif _is_struct(choice):
                fields = {field.encode_name: field.type for field in msgspec.structs.fields(choice)}
                found = fields.get(step, found)
        kind = found
    return kind


def _choices(kind: Any) -> tuple[Any, ...]:
    """Return the types of a union, or the type itself."""
    return get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _lone_surrogate(body: Body, at: str, said: str) -> InvalidMessage | None:
    """Return the error for half a surrogate pair; None if msgspec's message (``said``) has another cause."""
    place = ""
    if len(body) > MAX_EXPLAINED_BYTES and not said.startswith(_SURROGATE_MESSAGES):
        return None
    if len(body) <= MAX_EXPLAINED_BYTES:
        try:
            found = _find_surrogate(json.loads(body))
        except (ValueError, RecursionError):
            return None
        if found is None:
            return None
        place = found
    path = _joined(at, place)
    return InvalidMessage(
        f"{path or 'the body'}: holds a lone surrogate (\\ud800 to \\udfff without its pair), which is no character",
        code="invalid_encoding",
        param=path or None,
    )


# The way to a value: the way to its parent, and the last step, which is a name or a number.
_Way = tuple["_Way | None", str | int] | None


def _find_surrogate(value: Any) -> str | None:
    """Return the path of a string with a lone surrogate, or of an object that has one in a name."""
    # An explicit stack, not recursion: the value may be nested as deeply as the standard parser allows. It has one
    # iterator for each level, so its memory does not grow with the number of values.
    stack: list[tuple[_Way, Iterator[tuple[str | int, Any]]]] = [(None, iter([("", value)]))]
    while stack:
        way, children = stack[-1]
        for step, child in children:
            here = (way, step)
            if isinstance(child, str):
                if _has_surrogate(child):
                    return _written(here)
            elif isinstance(child, dict):
                if any(map(_has_surrogate, child)):
                    return _written(here)
                stack.append((here, iter(child.items())))
                break
            elif isinstance(child, list):
                stack.append((here, iter(enumerate(child))))
                break
        else:
            stack.pop()
    return None


def _has_surrogate(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _written(way: _Way) -> str:
    steps: list[str] = []
    while way is not None:
        way, step = way
        if way is not None:  # the way to the body itself has no step to write
            steps.append(f"[{step}]" if isinstance(step, int) else f".{cut(step)}")
    return cut("".join(reversed(steps)).removeprefix("."), 2 * MAX_QUOTED_CHARS)
