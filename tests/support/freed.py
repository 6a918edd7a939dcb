"""A failed call must free its memory at once, without the garbage collector."""

import asyncio
import gc
import weakref
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from tests.support.fakes import eventually


class Batch(list[str]):
    """Texts that support weak references, so that a test can tell when they are freed."""


@contextmanager
def no_collector() -> Iterator[None]:
    """Run the body with the garbage collector off, so that only reference counts free memory."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


async def failure_of(call: Callable[[], Awaitable[object]]) -> list[weakref.ref[BaseException]]:
    """Await a call that fails; return weak references to its error and the error's causes."""
    references: list[weakref.ref[BaseException]] = []
    try:
        await call()
    except Exception as error:
        cause: BaseException | None = error
        while cause is not None:
            with suppress(TypeError):  # Python's own exceptions have no weak references
                references.append(weakref.ref(cause))
            cause = cause.__cause__ or cause.__context__
    else:
        raise AssertionError("the call did not fail")
    assert references
    return references


async def assert_gone(references: Sequence[weakref.ref[object]]) -> None:
    """Assert that none of the objects is reachable after the pending callbacks have run."""
    await eventually(
        lambda: asyncio.sleep(0, [repr(each()) for each in references if each() is not None]),  # keeps none of them
        lambda left: not left,
    )
