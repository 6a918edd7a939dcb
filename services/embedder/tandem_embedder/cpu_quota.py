"""Number of threads that this process may keep busy, from the CPU quota of its cgroup and its CPU affinity.

By default onnxruntime starts one thread per core of the machine, even in a container with half a CPU. All these threads
share the quota, and the kernel throttles them together.

Formats (Linux, Documentation/admin-guide/cgroup-v2.rst and scheduler/sched-bwc.rst):

- cgroup v2: ``cpu.max`` holds "QUOTA PERIOD" in microseconds, or "max PERIOD" for no limit.
- cgroup v1: ``cpu.cfs_quota_us`` (-1: no limit) and ``cpu.cfs_period_us``.

Any ancestor of the cgroup may set a limit, so the smallest limit on the path to the root applies.
"""

import os
from pathlib import Path, PurePosixPath


def thread_count(quota: float | None, cores: int) -> int:
    """Return the number of threads for ``quota`` CPUs (None: no limit) on ``cores`` usable cores; at least 1.

    A quota of 1.5 gives 1. The kernel would throttle two threads for a quarter of every period, and a batch waits for
    its slower thread.
    """
    return max(1, cores if quota is None else min(cores, int(quota)))


def usable_threads() -> int:
    """Return the number of threads that this process may keep busy."""
    return thread_count(cpu_quota(), len(os.sched_getaffinity(0)))


def cpu_quota(root: Path = Path("/")) -> float | None:
    """Return the number of CPUs that the cgroup grants; None if it sets no limit or there is no cgroup.

    Args:
        root: folder that holds ``proc`` and ``sys``; tests pass another one.
    """
    quotas = []
    for version, group in _own_groups(_read(root / "proc/self/cgroup") or ""):
        base = root / "sys/fs/cgroup"
        if version == 1:
            base = base / "cpu"
        for folder in (group, *group.parents):
            place = base / str(folder).lstrip("/")
            quota = (
                parse_v2(_read(place / "cpu.max"))
                if version == 2
                else parse_v1(_read(place / "cpu.cfs_quota_us"), _read(place / "cpu.cfs_period_us"))
            )
            if quota is not None:
                quotas.append(quota)
    return min(quotas, default=None)


def parse_v2(cpu_max: str | None) -> float | None:
    """Return the number of CPUs in a ``cpu.max``; None for no limit or an invalid text."""
    parts = (cpu_max or "").split()
    return _divide(parts[0], parts[1]) if len(parts) == 2 else None


def parse_v1(quota: str | None, period: str | None) -> float | None:
    """Return the number of CPUs for a quota and a period in microseconds; None for no limit or an invalid text."""
    return _divide(quota or "", period or "")


def _divide(quota: str, period: str) -> float | None:
    try:
        microseconds, of = int(quota), int(period)
    except ValueError:  # "max"
        return None
    return microseconds / of if microseconds > 0 and of > 0 else None


def _own_groups(text: str) -> list[tuple[int, PurePosixPath]]:
    """Return (version, path) of each cgroup that may limit the CPU, from the text of ``/proc/self/cgroup``."""
    groups = []
    for line in text.splitlines():
        hierarchy, controllers, path = [*line.split(":", 2), "", ""][:3]
        if hierarchy == "0" and not controllers:
            groups.append((2, PurePosixPath(path or "/")))
        elif "cpu" in controllers.split(","):
            groups.append((1, PurePosixPath(path or "/")))
    return groups


def _read(path: Path) -> str | None:
    try:
        return path.read_text()
    except OSError:
        return None
