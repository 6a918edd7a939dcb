"""What a failed call leaves behind: nothing, and at once, without the garbage collector."""

import asyncio
import gc
import weakref
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from tests.support.fakes import eventually


class Batch(list[str]):
    """Texts that a test can tell to be gone."""


@contextmanager
def no_collector() -> Iterator[None]:
    """Run the body while reference counts alone free memory."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


async def failure_of(call: Callable[[], Awaitable[object]]) -> list[weakref.ref[BaseException]]:
    """Await a call that fails, and return references to its error and to the causes of that."""
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
    """Assert that none of the objects is reachable any more, once callbacks that are under way have run."""
    await eventually(
        lambda: asyncio.sleep(0, [repr(each()) for each in references if each() is not None]),  # to hold none of them
        lambda left: not left,
    )
