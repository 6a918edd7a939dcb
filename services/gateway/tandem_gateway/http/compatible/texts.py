"""Reads a request whose body has one text or a list of texts."""

import asyncio
import re
from typing import Any, Final, Generic, TypeVar

import msgspec

from tandem_contract.decoding import Body, InvalidMessage, decode_json
from tandem_gateway.errors import InvalidRequest
from tandem_gateway.http.body import read_body_of
from tandem_gateway.use_cases.embed_request import MAX_TEXTS
from tandem_runtime.json_slices import find_array
from tandem_runtime.memory import FREE_BYTES, Lease
from tandem_runtime.request_id import Receive, Scope

M = TypeVar("M", bound=msgspec.Struct)

_CHAR_BYTES: Final = 8
"""Maximum memory of a character that is not ASCII, with its UTF-8."""
_NO_TEXT: Final = re.compile(r"expected (?:string|`string)[^,]*, got `?(?:integer|array)|got `(?:integer|array)`")
_text: Final = msgspec.json.Decoder(str)


class TextsReader(Generic[M]):
    """Decodes bodies to a message; a large one in a thread, and its texts one by one."""

    def __init__(self, kind: type[M], field: str, *, lists: bool = True) -> None:
        """Make the reader.

        Args:
            kind: type of the message.
            field: its field that has the text or the texts.
            lists: whether the field may be a list.
        """
        self._decoder = msgspec.json.Decoder(kind)
        self._field = field
        self._lists = lists
        # The same message with the texts still as JSON.
        fields = [(each.name, each.type, each.default) for each in msgspec.structs.fields(kind) if each.name != field]
        self._raw: Any = msgspec.defstruct(kind.__name__, [(field, msgspec.Raw), *fields], kw_only=True)
        self._large: msgspec.json.Decoder[Any] = msgspec.json.Decoder(self._raw)
        self._kind = kind

    async def read(self, scope: Scope, receive: Receive, limit: int, lease: Lease) -> tuple[M, list[str]]:
        """Return the message and its texts, whose memory the lease holds.

        Raises:
            InvalidMessage: as ``body.read_body_of``, and for a body that does not match the type.
            InvalidRequest: the texts are tokens, or too many.
            OverBudget: the requests in progress use up the memory budget.
            ClientGone: the client closed the connection before the end of the body.
        """
        body = await read_body_of(scope, receive, limit, lease)
        if len(body) <= FREE_BYTES:
            message = self._decoded(body)
            given = getattr(message, self._field)
            return message, [given] if isinstance(given, str) else given
        lease.add(len(body))  # the texts, before they are decoded
        message, texts = await asyncio.to_thread(self._read_large, body)
        del body
        lease.hold(sum(len(text) if text.isascii() else _CHAR_BYTES * len(text) for text in texts))
        return message, texts

    def _decoded(self, body: Body) -> M:
        try:
            return decode_json(body, self._decoder)
        except InvalidMessage as error:
            raise self._explained(error) from None

    def _read_large(self, body: Body) -> tuple[M, list[str]]:
        message = decode_json(body, self._large)
        given = b'{"%s":%s}' % (self._field.encode(), bytes(getattr(message, self._field)))
        others = {name: getattr(message, name) for name in self._raw.__struct_fields__ if name != self._field}
        found = find_array(given, self._field, MAX_TEXTS) if self._lists else None
        if found is None:
            text = self._decoded(given)
            single = getattr(text, self._field)
            return self._kind(**{**others, self._field: single}), [single]
        if found.too_many:
            raise InvalidRequest(
                f"{self._field}: 1 to {MAX_TEXTS} texts were expected, and there are more",
                param=self._field,
                code="limit_exceeded",
            )
        texts = []
        for place in range(found.count(given)):
            try:
                texts.append(decode_json(found.element(given, place), _text, at=f"{self._field}[{place}]"))
            except InvalidMessage as error:
                raise self._explained(error) from None
        return self._kind(**{**others, self._field: texts}), texts

    def _explained(self, error: InvalidMessage) -> InvalidMessage | InvalidRequest:
        """Return the error, or a clearer one if the texts are tokens, which some clients send to OpenAI."""
        param = error.param or ""
        if not param.startswith(f"{self._field}[") or not _NO_TEXT.search(error.message):
            return error
        return InvalidRequest(
            f"{self._field}: texts were expected, not token ids: ids of another model's tokenizer mean other words to "
            "this model. Send strings; in LangChain's OpenAIEmbeddings set check_embedding_ctx_length=False",
            param=self._field,
        )
