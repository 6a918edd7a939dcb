"""``python -m tests``: runs every test, in two processes side by side.

One process runs the tests that mostly wait for containers and probes; the other runs those that mostly compute. On two
cores both together take two thirds of the time of a single process.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

TESTS = Path(__file__).resolve().parent
WAITING = ("chaos", "containers", "deploy")


def main() -> int:
    """Run both processes and return the exit status: 0 if all tests passed."""
    others = sorted(
        str(path) for path in TESTS.iterdir() if any(path.glob("**/test_*.py")) and path.name not in WAITING
    )
    waiting = [str(TESTS / name) for name in WAITING]
    pytest = [sys.executable, "-m", "pytest", *sys.argv[1:]]
    with tempfile.TemporaryFile() as output:
        # Two processes must not write to one cache of last failures.
        beside = subprocess.Popen([*pytest, "-p", "no:cacheprovider", *waiting], stdout=output, stderr=output)
        try:
            first = subprocess.run([*pytest, *others], check=False).returncode
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
