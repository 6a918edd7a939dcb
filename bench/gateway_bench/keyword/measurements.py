"""What is measured of the engines: each function fills rows of the table."""

import shutil
import statistics
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeVar

from tqdm import tqdm

from gateway_bench.keyword import zipf
from gateway_bench.keyword.engine import Unsupported
from gateway_bench.keyword.worker import CHANGED_BITS, Answer, Worker

PAGE: Final = 500
"""Documents of a commit; the gateway's follower has the same number."""

_REBUILD_PAGE: Final = 20_000
_SINGLE: Final = 50
_REMOVED_SHARE: Final = 10
_REMOVE_PAGE: Final = 200
_ALLOWED_EVERY: Final = 97
_TOP: Final = 10
_TRIAL_DOCUMENTS: Final = 2_000

T = TypeVar("T")
Table = dict[str, dict[str, str]]
"""Label of a row → engine → cell."""


def fill(table: Table, workers: Sequence[Worker], count: int, page: int) -> None:
    """Add ``count`` documents to each engine, a commit of ``page`` documents in turn, then single documents."""
    for worker in workers:
        worker.call("open")
    before = {worker.engine: worker.call("cpu").value for worker in workers}
    walls = dict.fromkeys(before, 0.0)
    for first in _bar(range(0, count, page), f"{count} documents"):
        for worker in _in_turn(workers, first // page):
            walls[worker.engine] += worker.call("ingest", first, min(page, count - first)).wall
    for worker in workers:
        cpu = worker.call("cpu").value - before[worker.engine]
        _put(table, f"ingest, {page} documents a commit, µs of CPU per document", worker, f"{1e6 * cpu / count:.0f}")
        analysis = worker.call("analyse", 0, PAGE).value / PAGE
        _put(
            table, "… of which the analysis", worker, f"{1e6 * analysis:.0f}" if worker.engine != "store-alone" else ""
        )
        _put(table, "ingest, documents/s", worker, f"{count / walls[worker.engine]:.0f}")
    single: dict[str, list[Answer]] = {worker.engine: [] for worker in workers}
    for number in _bar(range(_SINGLE), "single documents"):
        row = zipf.rows(count + number, 1)[0]
        for worker in _in_turn(workers, number):
            single[worker.engine].append(worker.call("make_visible", row))
    for worker in workers:
        _put(table, "add one document and find it, ms", worker, _times(single[worker.engine]))
        memory = worker.call("memory").value
        _put(table, "memory after ingest, MiB", worker, f"{memory.anonymous:.0f} + {memory.mapped:.0f} mapped")


def reopen(table: Table, workers: Sequence[Worker], folders: dict[str, Path]) -> None:
    """Measure start and size of the filled engines; the workers are new processes."""
    for worker in workers:
        opened = worker.call("open")
        _put(table, "import and open, ms (ms of CPU)", worker, f"{1e3 * opened.wall:.0f} ({1e3 * opened.cpu:.0f})")
        memory = worker.call("memory").value
        _put(table, "memory after opening, MiB", worker, f"{memory.anonymous:.0f} + {memory.mapped:.0f} mapped")
        size = sum(path.stat().st_size for path in folders[worker.engine].iterdir())
        _put(table, "files, MB", worker, f"{size / 1e6:.1f}")


def search(table: Table, workers: Sequence[Worker], count: int, queries: int) -> None:
    """Measure searches of each kind, query by query in turn."""
    allowed = list(range(0, count, _ALLOWED_EVERY))
    texts = zipf.queries(queries)
    three = texts["3 words, one in nearly all"]
    for kind, of_kind in texts.items():
        few = of_kind[: max(1, queries // 5)] if len(set(of_kind)) == 1 else of_kind
        _search(table, workers, f"search, {kind}, ms", [("search", text, _TOP) for text in few])
    _search(table, workers, "phrase of 2 words, ms", [("phrase", text, _TOP) for text in zipf.phrases(queries)])
    prefixes = [text[:4] for text in texts["1 word"]]
    _search(table, workers, "prefix of 4 letters, ms", [("prefix", text, _TOP) for text in prefixes])
    within = [("within", text, number % zipf.CATEGORIES, _TOP) for number, text in enumerate(three)]
    _search(table, workers, "3 words, a metadata value in 1 % of the documents, ms", within)
    among = [("among", text, allowed, _TOP) for text in three]
    _search(table, workers, f"3 words, {len(allowed)} allowed ids, ms", among)
    _search(table, workers, "3 words, counts per metadata value, ms", [("facets", text) for text in three])
    for worker in workers:
        memory = worker.call("memory").value
        _put(table, "memory after searches, MiB", worker, f"{memory.anonymous:.0f} + {memory.mapped:.0f} mapped")


def _search(table: Table, workers: Sequence[Worker], label: str, calls: Sequence[tuple[object, ...]]) -> None:
    answers: dict[str, list[Answer]] = {worker.engine: [] for worker in workers}
    for number, (method, *arguments) in enumerate(_bar(calls, label)):
        for worker in _in_turn(workers, number):
            with suppress(Unsupported):
                answers[worker.engine].append(worker.call(str(method), *arguments))
    for worker in workers:
        _put(table, label, worker, _times(answers[worker.engine]) if answers[worker.engine] else "no")


def remove(table: Table, workers: Sequence[Worker], count: int) -> None:
    """Remove a tenth of the documents, and see what remains of them."""
    removed = list(range(0, count, _REMOVED_SHARE))
    sample = removed[:: max(1, len(removed) // 200)]
    cpu = {worker.engine: 0.0 for worker in workers}
    for first in _bar(range(0, len(removed), _REMOVE_PAGE), "removals"):
        for worker in _in_turn(workers, first):
            cpu[worker.engine] += worker.call("remove", removed[first : first + _REMOVE_PAGE]).cpu
    for worker in workers:
        _put(table, "removal, µs of CPU per document", worker, f"{1e6 * cpu[worker.engine] / len(removed):.0f}")
        found, counted = worker.call("removed_found", sample).value
        _put(table, "removed documents found", worker, f"{found} of {len(sample)}")
        _put(table, "words of removed documents that ranking counts", worker, f"{counted} of {len(sample)}")
        purged = worker.call("purge")
        _, counted = worker.call("removed_found", sample).value
        _put(table, "… after the engine's merges", worker, f"{counted} of {len(sample)}")
        _put(table, "these merges, s (s of CPU)", worker, f"{purged.wall:.1f} ({purged.cpu:.1f})")
        checked = worker.call("check")
        cell = "no" if worker.engine == "tantivy" else f"{checked.wall:.1f}"
        _put(table, "check of all files, s", worker, cell)


def rebuild(table: Table, workers: Sequence[Worker], count: int) -> None:
    """Build each index again from nothing, with large commits."""
    taken = {worker.engine: 0.0 for worker in workers}
    for worker in workers:
        worker.call("open")
    before = {worker.engine: worker.call("cpu").value for worker in workers}
    for first in _bar(range(0, count, _REBUILD_PAGE), "rebuild"):
        for worker in workers:
            taken[worker.engine] += worker.call("ingest", first, min(_REBUILD_PAGE, count - first)).wall
    for worker in workers:
        taken[worker.engine] += worker.call("wait").wall
        cpu = worker.call("cpu").value - before[worker.engine]
        _put(table, "rebuild, s (s of CPU)", worker, f"{taken[worker.engine]:.1f} ({cpu:.1f})")


def damage(table: Table, engines: Sequence[str], folder: Path, trials: int) -> None:
    """Change bits in copies of a small index, and count what searches do then."""
    texts = [text for kind in zipf.queries(5).values() for text in kind] + [
        zipf.own_word(n) for n in range(0, 2000, 50)
    ]
    for engine in engines:
        source, work = folder / f"{engine}-whole", folder / f"{engine}-damaged"
        source.mkdir()
        work.mkdir()
        worker = Worker(engine, source)
        worker.call("open")
        for first in range(0, _TRIAL_DOCUMENTS, PAGE):
            worker.call("ingest", first, PAGE)
        rows = worker.call("searches", texts).value
        worker.close()
        tried = Worker(engine, work, quiet=True)
        expected = list(zip(texts, rows, strict=True))
        outcomes = [tried.trial(source, seed, expected) for seed in _bar(range(trials), f"{engine}: damage")]
        tried.close()
        for outcome, label in (
            ("error", "error"),
            ("wrong", "other hits, no error"),
            ("crash", "crash"),
            ("same", "same hits"),
        ):
            number = sum(found == outcome for found, _ in outcomes)
            _put(table, f"{CHANGED_BITS} changed bits: {label}", tried, f"{number} of {trials}")
        noticed = sum(noticed for _, noticed in outcomes)
        _put(
            table,
            f"{CHANGED_BITS} changed bits: noticed by an error or by the check of all files",
            tried,
            f"{noticed} of {trials}",
        )
        shutil.rmtree(work)


def _in_turn(workers: Sequence[Worker], number: int) -> list[Worker]:
    """Return the workers, each of them first as often as the others."""
    start = number % len(workers)
    return [*workers[start:], *workers[:start]]


def _times(answers: Sequence[Answer]) -> str:
    walls = sorted(1e3 * answer.wall for answer in answers)
    late = walls[min(len(walls) - 1, round(0.95 * len(walls)))]
    cpu = statistics.median(1e3 * answer.cpu for answer in answers)
    return f"{_short(statistics.median(walls))} / {_short(late)} ({_short(cpu)})"


def _short(number: float) -> str:
    return f"{number:.2f}" if number < 10 else f"{number:.0f}"


def _put(table: Table, label: str, worker: Worker, cell: str) -> None:
    table.setdefault(label, {})[worker.engine] = cell


def _bar(items: Sequence[T], description: str) -> "tqdm[T]":
    return tqdm(items, desc=description, disable=not sys.stderr.isatty(), leave=False)
