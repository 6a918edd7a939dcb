"""One statement that the event loop itself sends and receives, so that it costs no hop to a thread and back.

The statement is short, and so is its answer of one row. Only connecting takes long: a thread does it.
"""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import psycopg
from psycopg import pq

from tandem_gateway.adapters.postgres.connection import Connection, is_lost
from tandem_gateway.adapters.postgres.kept_connection import KeptConnection

Row = list[bytes | None]
"""Values in PostgreSQL's binary format; None for NULL."""

_NAME: Final = b"tandem_loop"
_BINARY: Final = 1
_PARTLY_SENT: Final = 1
# A server that restarts or fails over ends a connection with the statement in it. It changes nothing, so that it may
# run again.
_ATTEMPTS: Final = 2


class LoopStatement:
    """Runs one statement again and again on a connection of its own; one event loop owns it, and one call at a time."""

    def __init__(self, url: str, statement: str, types: Sequence[int], *, prepared: bool = True) -> None:
        """Make it; the first call connects.

        Args:
            url: a connection string of libpq.
            statement: changes nothing and returns one row; its parameters are ``$1`` and so on.
            types: of the parameters, as PostgreSQL's numbers of types.
            prepared: see ``connection.connect``.
        """
        self._statement = statement.encode()
        self._types = types
        self._prepared = prepared
        self._kept = KeptConnection(url, prepared=prepared)
        self._connection: Connection | None = None
        """The connection that has the prepared statement."""
        self._connecting = ThreadPoolExecutor(1, thread_name_prefix="store-connect")

    async def run(self, values: Sequence[bytes]) -> Row:
        """Run the statement with values in PostgreSQL's binary format; return its row.

        Raises:
            psycopg.Error: the server cannot be reached, or refuses the statement.
        """
        for attempt in range(1, _ATTEMPTS + 1):
            connection = await self._usable()
            try:
                return await self._answer(connection.pgconn, values)
            except BaseException as error:
                connection.close()  # the rest of an answer may still come
                if attempt == _ATTEMPTS or not is_lost(error):
                    raise
        raise AssertionError

    def close(self) -> None:
        """Close the connection; blocks. Call it when no call runs."""
        self._connecting.shutdown()
        self._kept.close()

    async def _usable(self) -> Connection:
        """Return a connection that has the statement."""
        if self._connection is not None and self._kept.has(self._connection):
            return self._connection
        return await asyncio.get_running_loop().run_in_executor(self._connecting, self._connect)

    def _connect(self) -> Connection:
        """Connect and prepare the statement; runs in the thread, also after its caller has gone."""
        connection = self._kept.usable()
        if connection is not self._connection:
            if self._prepared:
                _checked(connection.pgconn.prepare(_NAME, self._statement, self._types), pq.ExecStatus.COMMAND_OK)
            self._connection = connection
        return connection

    async def _answer(self, connection: pq.abc.PGconn, values: Sequence[bytes]) -> Row:
        formats = [_BINARY] * len(values)
        if self._prepared:
            connection.send_query_prepared(_NAME, values, formats, _BINARY)
        else:
            connection.send_query_params(self._statement, values, self._types, formats, _BINARY)
        loop = asyncio.get_running_loop()
        socket = connection.socket
        exchange = _Exchange(loop, connection)
        waits = exchange.sends()
        loop.add_reader(socket, exchange.receive)
        try:
            if waits:
                loop.add_writer(socket, exchange.send)
            return await exchange.row
        finally:
            loop.remove_reader(socket)
            if waits:
                loop.remove_writer(socket)
            del exchange  # an error's traceback refers to this frame, and the future to the error


class _Exchange:
    """A statement that is being sent, and its answer that is being received."""

    def __init__(self, loop: asyncio.AbstractEventLoop, connection: pq.abc.PGconn) -> None:
        self.row: asyncio.Future[Row] = loop.create_future()
        self._loop = loop
        self._connection = connection
        self._results: list[pq.abc.PGresult] = []

    def sends(self) -> bool:
        """Send what the socket takes, and return whether something is left to send."""
        return self._connection.flush() == _PARTLY_SENT

    def send(self) -> None:
        """Send the rest; called when the socket takes more."""
        try:
            if not self.sends():
                self._loop.remove_writer(self._connection.socket)
        except psycopg.Error as error:
            self._fail(error)

    def receive(self) -> None:
        """Take what has arrived."""
        if self.row.done():
            return
        try:
            self._connection.consume_input()
            while not self._connection.is_busy():
                result = self._connection.get_result()
                if result is None:
                    self.row.set_result(_row(self._results))
                    return
                self._results.append(result)
        except psycopg.Error as error:
            self._fail(error)

    def _fail(self, error: psycopg.Error) -> None:
        if not self.row.done():
            self.row.set_exception(error)


def _row(results: Sequence[pq.abc.PGresult]) -> Row:
    (result,) = results
    _checked(result, pq.ExecStatus.TUPLES_OK)
    if result.ntuples != 1:
        raise psycopg.DataError(f"the statement returned {result.ntuples} rows instead of one")
    return [result.get_value(0, column) for column in range(result.nfields)]


def _checked(result: pq.abc.PGresult, expected: pq.ExecStatus) -> None:
    if result.status != expected:
        raise psycopg.errors.error_from_result(result)
