"""``python -m tandem_embedder.prepare``, and the command ``tandem-prepare``."""

import signal
import sys

from tandem_embedder.prepare.cli import main


def run() -> int:
    """Run the command of this process; SIGTERM unwinds like Ctrl-C, so that half-written files are removed."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    return main()


if __name__ == "__main__":
    sys.exit(run())
