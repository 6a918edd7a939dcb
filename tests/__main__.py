"""``python -m tests``: every test, in two processes side by side.

One runs what mostly waits, for containers to start and for probes to come round; the other what mostly computes. On two
cores that takes two thirds of the time that one process needs.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

TESTS = Path(__file__).resolve().parent
WAITING = ("chaos", "containers", "deploy")


def main() -> int:
    """Run them and return the exit status: 0 if all passed."""
    others = sorted(
        str(path) for path in TESTS.iterdir() if any(path.glob("**/test_*.py")) and path.name not in WAITING
    )
    waiting = [str(TESTS / name) for name in WAITING]
    pytest = [sys.executable, "-m", "pytest", *sys.argv[1:]]
    with tempfile.TemporaryFile() as output:
        # A cache of last failures that two write to would be of neither.
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
