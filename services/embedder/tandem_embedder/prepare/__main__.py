"""``python -m tandem_embedder.prepare``, and the command ``tandem-prepare``."""

import signal
import sys

try:
    from tandem_embedder.prepare.cli import main
except ModuleNotFoundError as error:
    if (error.name or "").startswith("tandem_"):
        raise
    sys.exit(f"tandem-prepare: the package {error.name} is not installed; install tandem-services[prepare]")


def run() -> int:
    """Run the command of this process; SIGTERM unwinds like Ctrl-C, so that half-written files are removed."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    return main()


if __name__ == "__main__":
    sys.exit(run())
