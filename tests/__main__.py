"""``python -m tests``: runs every test, in three processes side by side.

The tests of two processes mostly wait: for clients, commands, browsers and killed services, or for containers, probes
and running services. Those of the third mostly compute. So three processes keep two cores busy, and take about the same
time. Without the slow tests no test waits for long, so the folders are divided by their time: the gateway's tests take
about as long as all others.
"""

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

TESTS = Path(__file__).resolve().parent
WAITING = [{"bench", "chaos", "cli", "clients", "console"}, {"containers", "deploy", "docs", "fuzz", "integration"}]
WITHOUT_SLOW = [{"fuzz", "gateway"}]


def divided(folders: set[str], apart: Sequence[set[str]]) -> list[list[str]]:
    """Return the paths of the folders for each process; the first takes what no other has."""
    parts = [folders - set().union(*apart), *(folders & part for part in apart)]
    return [[str(TESTS / name) for name in sorted(part)] for part in parts if part]


def main() -> int:
    """Run all processes and return the exit status: 0 if all tests passed."""
    folders = {path.name for path in TESTS.iterdir() if any(path.glob("**/test_*.py"))}
    first, *others = divided(folders, WITHOUT_SLOW if "not slow" in sys.argv else WAITING)
    pytest = [sys.executable, "-m", "pytest", *sys.argv[1:]]
    with ExitStack() as opened:
        beside = []
        for paths in others:
            output = opened.enter_context(tempfile.TemporaryFile())
            # Several processes must not write to one cache of last failures.
            command = [*pytest, "-p", "no:cacheprovider", *paths]
            process = subprocess.Popen(command, stdout=output, stderr=output)
            opened.callback(process.kill)
            beside.append((process, output))
        statuses = [subprocess.run([*pytest, *first], check=False).returncode]
        for process, output in beside:
            statuses.append(process.wait())
            output.seek(0)
            sys.stdout.flush()
            sys.stdout.buffer.write(output.read())
            sys.stdout.flush()
    return next((status for status in statuses if status), 0)


if __name__ == "__main__":
    sys.exit(main())
