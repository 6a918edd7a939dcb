"""The ASGI layer that decompresses requests and compresses replies, around every route.

A request without Content-Encoding, and with a small reply, pays for one look at its headers.
"""

from typing import Final

from tandem_contract.decoding import InvalidMessage, cut
from tandem_gateway.http.coding.negotiation import CODINGS, Coding, choose, coding_of
from tandem_gateway.http.coding.replies import CompressingSend
from tandem_gateway.http.coding.requests import DecompressedBody
from tandem_runtime.body import STOP_DECODING
from tandem_runtime.memory import MemoryBudget
from tandem_runtime.request_id import AsgiApp, Message, Receive, Scope, Send

_ACCEPT: Final = (b"accept-encoding", ", ".join(CODINGS).encode())
_UNSUPPORTED: Final = 415


def coded(app: AsgiApp, memory: MemoryBudget, *, discarded: int, minimum: int) -> AsgiApp:
    """Return ``app`` with bodies decompressed and replies compressed.

    Args:
        app: the application.
        memory: memory budget of all requests.
        discarded: see ``DecompressedBody``.
        minimum: size of the smallest reply that is compressed, in bytes; 0 compresses none.
    """

    async def served(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        accepted: bytes | None = None
        codings: list[bytes] = []
        for name, value in scope["headers"]:
            if name == b"accept-encoding":
                accepted = value if accepted is None else accepted + b"," + value
            elif name == b"content-encoding":
                codings.append(value)
        if minimum:
            send = CompressingSend(send, None if accepted is None else choose(accepted), minimum, memory)
        if codings:
            # A handler gets the content, so the header is not true of its body.
            scope["headers"] = [(name, value) for name, value in scope["headers"] if name != b"content-encoding"]
            try:
                coding = coding_of(codings)
            except ValueError as error:
                receive, send = _refuse(str(error)), _accepting(send)
            else:
                if coding is not None:
                    receive = _decompress(scope, receive, coding)
        await app(scope, receive, send)

    def _decompress(scope: Scope, receive: Receive, coding: Coding) -> Receive:
        body = DecompressedBody(receive, coding, memory.lease(), discarded)
        scope[STOP_DECODING] = body.stop
        return body.receive

    return served


def _refuse(given: str) -> Receive:
    """Return a ``receive`` that refuses to read the body, so that a route without one ignores the header."""

    async def receive() -> Message:
        raise InvalidMessage(
            f"content-encoding: {cut(ascii(given))} is not taken; send gzip or zstd, one of them, or the body as it is",
            code="unsupported_media_type",
            param="content-encoding",
        )

    return receive


def _accepting(send: Send) -> Send:
    """Return a ``send`` that names the known codings in a 415 (RFC 9110, section 15.5.16)."""

    async def send_accepting(message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] == _UNSUPPORTED:
            message["headers"] = [*message["headers"], _ACCEPT]
        await send(message)

    return send_accepting
