"""Makes a method of both clients out of one function that builds a call.

``search = Method(calls.search)`` gives ``Client`` a method that returns the result, and ``AsyncClient`` one that
returns a coroutine of it, both with the arguments of ``calls.search``. Type checkers see that too.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from functools import update_wrapper
from typing import Any, Generic, ParamSpec, Self, TypeVar, overload

from tandem_client.call import Call, Procedure
from tandem_client.errors import InvalidReply

P = ParamSpec("P")
T = TypeVar("T")
Page = TypeVar("Page")


class SyncSender:
    """Base of the client that blocks."""

    def send(self, call: Call[T]) -> T:
        """Send a call with its retries, and return its result."""
        raise NotImplementedError

    def run(self, work: Call[T] | Procedure[T]) -> T:
        """Send a call, or several that follow from each other, and return the result."""
        return self.send(work) if isinstance(work, Call) else _run(work, self.send)


class AsyncSender:
    """Base of the client whose methods are coroutines."""

    async def send(self, call: Call[T]) -> T:
        """Send a call with its retries, and return its result."""
        raise NotImplementedError

    async def run(self, work: Call[T] | Procedure[T]) -> T:
        """Send a call, or several that follow from each other, and return the result."""
        return await (self.send(work) if isinstance(work, Call) else _run_async(work, self.send))


class _Sent(Generic[P, T]):
    """A method that sends what a function builds."""

    def __init__(self, build: Callable[P, Call[T] | Procedure[T]]) -> None:
        self.build = build
        self.__doc__ = build.__doc__

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: SyncSender, owner: type) -> Callable[P, T]: ...
    @overload
    def __get__(self, instance: AsyncSender, owner: type) -> Callable[P, Coroutine[Any, Any, T]]: ...
    def __get__(self, instance: SyncSender | AsyncSender | None, owner: type) -> Any:
        """Return the method of a client."""
        build = self.build
        if isinstance(instance, SyncSender):
            sender = instance

            def method(*args: P.args, **kwargs: P.kwargs) -> T:
                return sender.run(build(*args, **kwargs))

            return _described(method, build, build.__doc__)
        if isinstance(instance, AsyncSender):
            async_sender = instance

            async def async_method(*args: P.args, **kwargs: P.kwargs) -> T:
                return await async_sender.run(build(*args, **kwargs))

            return _described(async_method, build, build.__doc__)
        return self


class Method(_Sent[P, T]):
    """A method of one call."""


class Steps(_Sent[P, T]):
    """A method of several calls that follow from each other."""


class Listing(Generic[P, Page, T]):
    """An iterator over all items of all pages; ``limit`` is the size of a page. It asks for a page when it needs it."""

    def __init__(
        self,
        build: Callable[P, Call[Page]],
        items: Callable[[Page], list[T]],
        next_cursor: Callable[[Page], str | None],
    ) -> None:
        self.build = build
        self.items = items
        self.next_cursor = next_cursor
        self.__doc__ = f"Iterate over all pages; ``limit`` is the size of a page.\n\nA page: {build.__doc__}"

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: SyncSender, owner: type) -> Callable[P, Iterator[T]]: ...
    @overload
    def __get__(self, instance: AsyncSender, owner: type) -> Callable[P, AsyncIterator[T]]: ...
    def __get__(self, instance: SyncSender | AsyncSender | None, owner: type) -> Any:
        """Return the method of a client."""
        if isinstance(instance, SyncSender):
            sender = instance

            def iterate(*args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
                while True:
                    page = sender.send(self.build(*args, **kwargs))
                    yield from self.items(page)
                    if not self._goes_on(page, kwargs):
                        return

            return _described(iterate, self.build, self.__doc__)
        if isinstance(instance, AsyncSender):
            async_sender = instance

            async def iterate_async(*args: P.args, **kwargs: P.kwargs) -> AsyncIterator[T]:
                while True:
                    page = await async_sender.send(self.build(*args, **kwargs))
                    for item in self.items(page):
                        yield item
                    if not self._goes_on(page, kwargs):
                        return

            return _described(iterate_async, self.build, self.__doc__)
        return self

    def _goes_on(self, page: Page, kwargs: dict[str, Any]) -> bool:
        cursor = self.next_cursor(page)
        if cursor is None:
            return False
        if cursor == kwargs.get("cursor"):
            raise InvalidReply(f"the list does not go on: its next cursor is that of the page itself, {cursor!r:.100}")
        kwargs["cursor"] = cursor
        return True


def _described(method: Callable[..., T], build: Callable[..., Any], doc: str | None) -> Callable[..., T]:
    update_wrapper(method, build)
    method.__doc__ = doc
    return method


def _run(procedure: Procedure[T], send: Callable[[Call[Any]], Any]) -> T:
    try:
        call = next(procedure)
        while True:
            try:
                result = send(call)
            except Exception as error:
                call = procedure.throw(error)
            else:
                call = procedure.send(result)
    except StopIteration as done:
        value: T = done.value
        return value


async def _run_async(procedure: Procedure[T], send: Callable[[Call[Any]], Awaitable[Any]]) -> T:
    try:
        call = next(procedure)
        while True:
            try:
                result = await send(call)
            except Exception as error:  # a cancellation is none, and ends the procedure
                call = procedure.throw(error)
            else:
                call = procedure.send(result)
    except StopIteration as done:
        value: T = done.value
        return value
