"""The endpoint ``/mcp``: Streamable HTTP by the official SDK of MCP, between this gateway's own edge and its tools.

The SDK decides about the protocol: versions, methods and the shape of its messages. It keeps no session and opens no
stream: each POST gets one reply of JSON. The gateway reads the body, within its limit and its time, and sends the
reply, so that requests for MCP have the host check, the metrics, the access log and the memory budget of all others.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any, Final, NamedTuple

import mcp_types as types
import msgspec
from mcp.server.lowlevel.server import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.shared.exceptions import MCPError

from tandem_contract.decoding import decode_json
from tandem_contract.errors import ErrorReply
from tandem_gateway import __version__
from tandem_gateway.access.trail import note
from tandem_gateway.errors import InvalidRequest
from tandem_gateway.http.body import read_body_of
from tandem_gateway.http.errors import reply_to
from tandem_gateway.http.limits import BodyLimits
from tandem_gateway.http.mcp.descriptions import INSTRUCTIONS, Description, descriptions
from tandem_gateway.http.mcp.tools import Tools
from tandem_gateway.lifecycle import Gateway
from tandem_gateway.use_cases.validation import RequestLimits
from tandem_runtime.body import cancel_on_disconnect
from tandem_runtime.http import Endpoint, Reply
from tandem_runtime.memory import Lease
from tandem_runtime.request_id import Message, Receive, Scope

PATH: Final = "/mcp"
_ENVELOPE_BYTES: Final = 8 << 10
"""Bytes that a body may have besides the arguments of a tool."""

_error_decoder = msgspec.json.Decoder(ErrorReply)
_json_decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder()


class _Params(msgspec.Struct):
    """The parameters of a call, with the arguments still as JSON, so that numbers keep all digits."""

    arguments: msgspec.Raw = msgspec.Raw(b"{}")


class _Call(msgspec.Struct):
    """A message of JSON-RPC."""

    params: _Params


class _Request(NamedTuple):
    """The HTTP request that the SDK is answering."""

    scope: Scope
    body: bytes
    lease: Lease


_call_decoder = msgspec.json.Decoder(_Call)
_current: ContextVar[_Request] = ContextVar("tandem.mcp.request")


class McpService:
    """The endpoint, and what has to run around it."""

    def __init__(self, gateway: Gateway, limits: RequestLimits, bodies: BodyLimits, timeout: float) -> None:
        """Make the service.

        Args:
            gateway: the gateway.
            limits: limits of one request, for the descriptions of the tools.
            bodies: limits of bodies.
            timeout: deadline of a call, in seconds.
        """
        logging.getLogger("mcp").setLevel(logging.WARNING)  # it logs each request
        self._tools = Tools(gateway, timeout)
        self._bodies = bodies
        self._listed = types.ListToolsResult(tools=[_tool(each) for each in descriptions(limits)])
        server: Server[Any] = Server(
            "tandem",
            title="Tandem",
            version=__version__,
            instructions=INSTRUCTIONS,
            on_list_tools=self._list_tools,
            on_call_tool=self._call_tool,
        )
        self._sdk = StreamableHTTPSessionManager(
            server,
            json_response=True,
            stateless=True,
            max_request_body_size=self._body_bytes,
        )
        self.endpoint = Endpoint(PATH, {"POST": self._answer}, _error_of_protocol)

    @property
    def _body_bytes(self) -> int:
        return self._bodies.search + _ENVELOPE_BYTES

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep the SDK's tasks running."""
        async with self._sdk.run():
            yield

    async def _answer(self, scope: Scope, receive: Receive) -> Reply:
        """Return the SDK's reply to a request."""
        lease = self._bodies.memory.lease()
        body = bytes(await read_body_of(scope, receive, self._body_bytes, lease))
        reply = _Collected()
        token = _current.set(_Request(scope, body, lease))
        try:
            work = self._sdk.handle_request({**scope, "type": "http"}, _Replayed(body).receive, reply.send)
            await cancel_on_disconnect(scope, receive, work)
        finally:
            _current.reset(token)
        lease.hold(len(reply.body))
        return Reply(reply.status, bytes(reply.body), lease=lease, headers=tuple(reply.headers))

    async def _list_tools(self, context: object, params: object) -> types.ListToolsResult:
        return self._listed

    async def _call_tool(self, context: object, params: types.CallToolRequestParams) -> types.CallToolResult:
        """Call a tool; its errors are results, which a language model can read and act on."""
        tool = self._tools.by_name.get(params.name)
        if tool is None:
            known = ", ".join(self._tools.by_name)
            raise MCPError(types.INVALID_PARAMS, f"name: there is no tool {params.name[:100]!r}, only {known}")
        request = _current.get()
        try:
            given = bytes(decode_json(request.body, _call_decoder).params.arguments)
            result = await tool(b"{}" if given == b"null" else given, request.scope, request.lease)
            self._check_size(len(result))
            request.lease.add(4 * len(result))  # as text, as structured content, and both again as JSON
        except Exception as error:
            told = reply_to(error)
            note(action=f"mcp.{params.name}", code=told.code)
            return types.CallToolResult(content=[types.TextContent(text=_told(told))], is_error=True)
        return types.CallToolResult(
            content=[types.TextContent(text=result.decode())], structured_content=_json_decoder.decode(result)
        )

    def _check_size(self, size: int) -> None:
        """Check that a reply keeps to the limit of an answer: it has the result as JSON, and as JSON in a text."""
        if 3 * size > self._bodies.answer:
            raise InvalidRequest(
                f"max_tokens: the answer may have more than {self._bodies.answer} bytes, which is the limit "
                "(TANDEM_MAX_ANSWER_BYTES); ask for fewer tokens",
                param="max_tokens",
                code="limit_exceeded",
            )


class _Replayed:
    """An ASGI receive function for a body that has arrived."""

    def __init__(self, body: bytes) -> None:
        self._body: bytes | None = body

    async def receive(self) -> Message:
        """Return the body; after it, wait until cancelled. The SDK asks in a loop for the end of the connection."""
        body, self._body = self._body, None
        if body is None:
            await asyncio.get_running_loop().create_future()
        return {"type": "http.request", "body": body, "more_body": False}


class _Collected:
    """An ASGI send function that collects the response."""

    def __init__(self) -> None:
        self.status = 500
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = bytearray()

    async def send(self, message: Message) -> None:
        """Take a part of the response; ``Reply`` sends its type and length itself."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            own = (b"content-type", b"content-length")
            self.headers = [(name, value) for name, value in message.get("headers", ()) if name.lower() not in own]
        else:
            self.body += message.get("body", b"")


def _tool(described: Description) -> types.Tool:
    return types.Tool(
        name=described.name,
        title=described.title,
        description=described.description,
        input_schema=described.input_schema,
        output_schema=described.output_schema,
        annotations=types.ToolAnnotations(read_only_hint=True, open_world_hint=False),
    )


def _told(reply: Reply) -> str:
    """Return an error for a language model: the message, the code, and when to try again."""
    told = _error_decoder.decode(reply.body).error
    wait = dict(reply.headers).get(b"retry-after")
    again = f"; try again in {wait.decode()} s" if wait is not None else ""
    return f"{told.message} ({told.code}{again})"


def _error_of_protocol(error: Exception) -> Reply:
    """Return the reply to a request that no tool gets, as an error of JSON-RPC with the status of HTTP."""
    reply = reply_to(error)
    told = _error_decoder.decode(reply.body).error
    code = types.PARSE_ERROR if reply.status == 400 else types.INTERNAL_ERROR
    if 400 < reply.status < 500:
        code = types.INVALID_REQUEST
    content = {
        "jsonrpc": "2.0",
        "id": None,
        "error": {"code": code, "message": told.message, "data": {"code": told.code, "param": told.param}},
    }
    return Reply(reply.status, msgspec.json.encode(content), code=reply.code, headers=reply.headers)
