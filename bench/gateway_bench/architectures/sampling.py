"""Samples memory and CPU time of an architecture's processes and all their children, as Linux counts them."""

import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Self

import msgspec
import psutil

_SAMPLE_SECONDS = 0.5
_MIB = 1 << 20


class Usage(msgspec.Struct, frozen=True):
    """Use of one process and its children: peak and final memory in MiB, and CPU time of the run."""

    rss_peak: float
    pss_peak: float
    """PSS counts a page that n processes share as 1/n, so its sum counts each page once; a sum of RSS does not."""
    rss_end: float
    pss_end: float
    cpu_seconds: float


class Sampler:
    """A context manager that samples until its end; ``usage`` then has the result.

    CPU time is the difference of the kernel's counters at both ends (in steps of 10 ms), not a sum of samples. Memory
    comes from ``smaps_rollup``, twice a second.
    """

    def __init__(self, pids: Mapping[str, int]) -> None:
        """Name the processes; children that they start later count as well."""
        self._processes = {name: psutil.Process(pid) for name, pid in pids.items()}
        self._before: dict[str, float] = {}
        self._peaks: dict[str, tuple[float, float]] = dict.fromkeys(pids, (0.0, 0.0))
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sampler", daemon=True)
        self.usage: dict[str, Usage] = {}

    def __enter__(self) -> Self:
        self._before = {name: _cpu_seconds(process) for name, process in self._processes.items()}
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        after = {name: _cpu_seconds(process) for name, process in self._processes.items()}
        self._ended.set()
        self._thread.join()
        for name, process in self._processes.items():
            rss, pss = _memory(process)
            self._note(name, rss, pss)
            peak_rss, peak_pss = self._peaks[name]
            self.usage[name] = Usage(peak_rss, peak_pss, rss, pss, after[name] - self._before[name])

    def _run(self) -> None:
        while not self._ended.wait(_SAMPLE_SECONDS):
            for name, process in self._processes.items():
                self._note(name, *_memory(process))

    def _note(self, name: str, rss: float, pss: float) -> None:
        peak_rss, peak_pss = self._peaks[name]
        self._peaks[name] = (max(peak_rss, rss), max(peak_pss, pss))


def _family(process: psutil.Process) -> list[psutil.Process]:
    try:
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _memory(process: psutil.Process) -> tuple[float, float]:
    rss = pss = 0
    for member in _family(process):
        try:
            memory = member.memory_full_info()
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        rss += memory.rss
        pss += memory.pss
    return rss / _MIB, pss / _MIB


def _cpu_seconds(process: psutil.Process) -> float:
    total = 0.0
    for member in _family(process):
        try:
            times = member.cpu_times()
        except psutil.NoSuchProcess:
            continue
        # The kernel counts only children that have ended here.
        total += times.user + times.system + times.children_user + times.children_system
    return total
