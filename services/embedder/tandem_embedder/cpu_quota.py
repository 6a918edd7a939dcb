"""How many threads this process may keep busy: the CPU quota of its cgroup, and its affinity.

onnxruntime counts the machine's cores, and in a container of half a CPU starts a thread for each: they share the
quota, and are throttled together. Formats: cgroup v2 ``cpu.max`` holds "QUOTA PERIOD" in microseconds, or "max PERIOD";
v1 has ``cpu.cfs_quota_us`` (-1: none) and ``cpu.cfs_period_us`` (Linux, Documentation/admin-guide/cgroup-v2.rst and
scheduler/sched-bwc.rst). A limit may be set on any ancestor, so the smallest on the way up counts.
"""

import os
from pathlib import Path, PurePosixPath


def thread_count(quota: float | None, cores: int) -> int:
    """Return the threads for ``quota`` CPUs (None: no limit) on ``cores`` usable cores; at least 1.

    A quota of 1.5 gives 1: two threads would be throttled for a quarter of every period, and a batch waits for the
    slower one.
    """
    return max(1, cores if quota is None else min(cores, int(quota)))


def usable_threads() -> int:
    """Return the threads that this process may keep busy."""
    return thread_count(cpu_quota(), len(os.sched_getaffinity(0)))


def cpu_quota(root: Path = Path("/")) -> float | None:
    """Return the CPUs that the cgroup grants, None where it sets no limit or there is none.

    Args:
        root: where ``proc`` and ``sys`` are; another place in tests.
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
    """Return the CPUs of a ``cpu.max``, None for no limit or no such text."""
    parts = (cpu_max or "").split()
    return _divide(parts[0], parts[1]) if len(parts) == 2 else None


def parse_v1(quota: str | None, period: str | None) -> float | None:
    """Return the CPUs of ``cpu.cfs_quota_us`` and ``cpu.cfs_period_us``, None for no limit or no such text."""
    return _divide(quota or "", period or "")


def _divide(quota: str, period: str) -> float | None:
    try:
        microseconds, of = int(quota), int(period)
    except ValueError:  # "max"
        return None
    return microseconds / of if microseconds > 0 and of > 0 else None


def _own_groups(text: str) -> list[tuple[int, PurePosixPath]]:
    """Return version and path of the groups that may limit CPU, from ``/proc/self/cgroup``."""
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
