"""The transport that uvicorn's protocol sees: it gathers what is written in one step of the event loop.

uvicorn writes the head and the body of a response by themselves, and uvloop sends each write at once. One write less a
response saves a system call.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final, Protocol

_GATHERED_BYTES: Final = 1 << 16
"""With more, the parts go to the transport as they are: joining them would double their memory."""


class Owner(Protocol):
    """The connection to which the transport belongs."""

    def writes(self, data: bytes) -> bool:
        """Note that the protocol writes ``data``; return whether to send it."""

    def closes(self) -> None:
        """End the connection: the protocol has written its last response, or gives up."""

    def reads(self, wanted: bool) -> None:
        """Go on reading, or pause."""


class GatheredWrites(asyncio.Transport):
    """See the module; everything but writing and closing is the owner's."""

    def __init__(self, transport: asyncio.Transport, owner: Owner, call_soon: Callable[..., object]) -> None:
        super().__init__()
        self._transport = transport
        self._owner: Owner | None = owner
        self._call_soon = call_soon
        self._parts: list[bytes] = []
        self._size = 0

    def detach(self) -> None:
        """Forget the owner: what the protocol still does has no effect."""
        self._owner = None
        self._parts.clear()

    def flush(self) -> None:
        """Send what was gathered."""
        if self._parts:
            parts, self._parts, size, self._size = self._parts, [], self._size, 0
            if not self._transport.is_closing():
                if len(parts) == 1 or size > _GATHERED_BYTES:
                    self._transport.writelines(parts)
                else:
                    self._transport.write(b"".join(parts))

    def write(self, data: Any) -> None:
        """Gather ``data``; it is sent in this step of the event loop or right after it."""
        if self._owner is None or not self._owner.writes(data):
            return
        if not self._parts:
            self._call_soon(self.flush)
        self._parts.append(data)
        self._size += len(data)
        if self._size > _GATHERED_BYTES:
            self.flush()

    def close(self) -> None:
        """End the connection."""
        if self._owner is not None:
            self._owner.closes()

    def is_closing(self) -> bool:
        """Return whether the connection ends."""
        return self._owner is None or self._transport.is_closing()

    def pause_reading(self) -> None:
        """Pause reading."""
        if self._owner is not None:
            self._owner.reads(False)

    def resume_reading(self) -> None:
        """Go on reading."""
        if self._owner is not None:
            self._owner.reads(True)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return what the connection's own transport tells."""
        return self._transport.get_extra_info(name, default)
