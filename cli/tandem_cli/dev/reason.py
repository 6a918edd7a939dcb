"""Why a service ended, from the end of its log."""

import json
from pathlib import Path
from typing import Any

_REASONS = ("critical", "error")


def of(failure: str, logs: Path) -> str:
    """Return one line with the problem and its reason, or the whole text if its log has no line with a reason.

    Args:
        failure: a line with the problem; then lines of the service's log, which are JSON unless Python wrote them.
        logs: folder of the logs, which the line names.
    """
    problem, *lines = failure.splitlines()
    for level in _REASONS:
        for line in reversed(lines):
            entry = _entry(line)
            if entry.get("level") == level:
                told = [str(entry[field]) for field in ("message", "error") if entry.get(field)]
                return f"{problem}: {': '.join(told)} (logs: {logs}/)"
    return failure


def _entry(line: str) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except ValueError:
        return {}
    return entry if isinstance(entry, dict) else {}
