"""``python -m tests``: runs every test, in two processes side by side.

One process runs the tests that mostly wait, for containers, probes, generated requests and environments of clients; the
other runs those that mostly compute. On two cores both take about the same time. Without the slow tests no test waits
for long, so the folders are divided by their time: the gateway's tests take about as long as all others.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

TESTS = Path(__file__).resolve().parent
WAITING = {"bench", "chaos", "cli", "clients", "console", "containers", "deploy", "docs", "fuzz"}
COMPUTING_WITHOUT_SLOW = {"fuzz", "gateway"}


def paths(folders: set[str]) -> list[str]:
    """Return the paths of these folders of tests."""
    return [str(TESTS / name) for name in sorted(folders)]


def main() -> int:
    """Run both processes and return the exit status: 0 if all tests passed."""
    folders = {path.name for path in TESTS.iterdir() if any(path.glob("**/test_*.py"))}
    computing = folders & COMPUTING_WITHOUT_SLOW if "not slow" in sys.argv else folders - WAITING
    pytest = [sys.executable, "-m", "pytest", *sys.argv[1:]]
    with tempfile.TemporaryFile() as output:
        # Two processes must not write to one cache of last failures.
        others = [*pytest, "-p", "no:cacheprovider", *paths(folders - computing)]
        beside = subprocess.Popen(others, stdout=output, stderr=output)
        try:
            first = subprocess.run([*pytest, *paths(computing)], check=False).returncode
            second = beside.wait()
        finally:
            beside.kill()
        output.seek(0)
        sys.stdout.flush()
        sys.stdout.buffer.write(output.read())
        sys.stdout.flush()
    return first or second


if __name__ == "__main__":
    sys.exit(main())
