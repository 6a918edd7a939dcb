"""``python -m tandem_embedder.prepare``."""

import signal
import sys

from tandem_embedder.prepare.cli import main

if __name__ == "__main__":
    # SIGTERM unwinds like Ctrl-C, so that what is half written is removed.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
