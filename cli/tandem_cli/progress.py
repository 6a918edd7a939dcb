"""Progress bars on standard error, if it is a terminal; nothing is shown elsewhere."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tandem_cli.terminal import progress_console


@contextmanager
def counting(label: str) -> Iterator[Callable[[int, int | None], None]]:
    """Show a bar, and give a function that takes how many are done, and of how many (None if that is not known)."""
    console = progress_console()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
