"""Describes the conditions of a result: the machine and the commit."""

import os
import platform
import re
import subprocess
from pathlib import Path

import psutil

from gateway_bench.results import Machine

# A result depends on these; earlier results are not among them.
_MEASURED = ("bench/gateway_bench", "services", "shared", "requirements", "pyproject.toml")


def this_machine() -> Machine:
    """Return the resources of this machine, without anything that identifies it."""
    return Machine(
        cpu=_cpu_model(),
        cores=len(os.sched_getaffinity(0)),
        memory_gib=round(psutil.virtual_memory().total / (1 << 30), 1),
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
    )


def commit_of(repository: Path) -> str:
    """Return the checked-out commit, with ``+changes`` if the measured code differs; ``unknown`` without git."""
    try:
        commit = _git(repository, "rev-parse", "--short=12", "HEAD")
        return f"{commit}+changes" if _git(repository, "status", "--porcelain", "--", *_MEASURED) else commit
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def _git(repository: Path, *arguments: str) -> str:
    command = ["git", "-C", str(repository), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout.strip()


def _cpu_model() -> str:
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found.group(1).strip() if found else platform.machine()
