"""Bodies of typed handlers: decoded strictly and directly from bytes; every failure is one of our errors.

By itself Litestar reads JSON into dicts and converts these by msgspec's lax rules ("5" is taken for 5). It takes any
content type, answers 500 to invalid UTF-8 and to deep nesting, and names no path of a nested field. It has no deadline
for a body and does not read a body over its limit to the end. Hence two classes, for every handler by default:
``JsonRequest`` reads the bytes and ``StrictJson`` decodes them. A handler of a form sets ``dto=None`` and reads the
request's stream.
"""

from typing import Any, ClassVar, TypeVar

import msgspec
from litestar import Request
from litestar.dto import AbstractDTO

from tandem_contract.decoding import decode_json
from tandem_gateway.http.asgi_types import receive_of, scope_of
from tandem_gateway.http.body import read_body_of

T = TypeVar("T")

_anything: msgspec.json.Decoder[Any] = msgspec.json.Decoder()


class JsonRequest(Request[Any, Any, Any]):
    """A request whose body is JSON, with the bounds of ``body.read_body_of``."""

    async def body(self) -> bytes:
        """Return the body; its limit is the route's ``request_max_body_size``.

        Raises:
            InvalidMessage, ClientGone: as in ``body.read_body_of``; the body is empty.
        """
        limit = self.route_handler.resolve_request_max_body_size()
        assert limit is not None, "every route with a body has a limit"
        body = await read_body_of(scope_of(self), receive_of(self), limit)
        if not body:
            decode_json(body, _anything)  # raises the error for an empty body; Litestar does not decode an empty body
        return bytes(body)


class StrictJson(AbstractDTO[T]):
    """Decodes a body to the type that its handler names."""

    _decoders: ClassVar[dict[str, msgspec.json.Decoder[Any]]] = {}

    @classmethod
    def create_for_field_definition(cls, field_definition: Any, handler_id: str, backend_cls: Any = None) -> None:
        """Prepare for a handler."""
        cls._decoders[handler_id] = msgspec.json.Decoder(field_definition.annotation)

    def decode_bytes(self, value: bytes) -> Any:
        """Return the message.

        Raises:
            InvalidMessage: it is not JSON, not UTF-8, or not of the handler's type.
        """
        return decode_json(value, self._decoders[self.asgi_connection.route_handler.handler_id])

    @classmethod
    def create_openapi_schema(cls, field_definition: Any, handler_id: str, schema_creator: Any) -> Any:
        """Return the schema of the handler's type."""
        return schema_creator.for_field_definition(field_definition)
