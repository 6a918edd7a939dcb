"""``python -m tests.console.pictures``: takes the pictures of the console again, into ``docs/images/console``."""

import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from PIL import Image

from tandem_tools.corpus import standard_library
from tests.console.environment import REPOSITORY, environment
from tests.console.sample import fill
from tests.support.stack import Stack, gateway_process

_OUT: Final = REPOSITORY / "docs" / "images" / "console"
_MODEL: Final = REPOSITORY / "models" / "all-MiniLM-L6-v2"
_KEY: Final = "a-key-for-the-pictures-of-the-console-123"
_COLOURS: Final = 200
_MAP_PACKAGES: Final = ("email.", "asyncio.", "datetime.", "sqlite3.", "unittest.", "tarfile.", "ssl.")
MAX_BYTES: Final = 100_000
"""Greatest size of a picture."""


def make_smaller(path: Path) -> None:
    """Write a picture again with a palette.

    Raises:
        ValueError: it has more than 100 kB even so.
    """
    Image.open(path).convert("RGB").quantize(_COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"{path.name} has {path.stat().st_size} bytes, more than {MAX_BYTES}")


def main() -> int:
    """Start the services with a sample, take the pictures, and return 0."""
    _OUT.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, Stack(Path(folder), _MODEL) as stack:
        fill(stack.client, attack=False)
        documents = [
            {"id": each.id, "text": each.text, "metadata": {"package": each.id.partition(".")[0]}}
            for each in standard_library()
            if each.id.startswith(_MAP_PACKAGES)
        ]
        stack.client.ingest_and_wait(documents, "python-stdlib")
        locked, client = gateway_process(
            Path(folder), Path(folder) / "locked", stack.embedder_url, name="locked", env={"TANDEM_API_KEY": _KEY}
        )
        with locked:
            for name, role, collections in (("shop", "search", ["shop-*", "faq"]), ("crawler", "ingest", ["wiki"])):
                made = {"name": name, "role": role, "collections": collections}
                headers = {"authorization": f"Bearer {_KEY}"}
                client.http.post("/v1/admin/keys", json=made, headers=headers).raise_for_status()
            client.close()
            urls = {"CONSOLE_URL": stack.client.url, "CONSOLE_LOCKED_URL": client.url, "CONSOLE_KEY": _KEY}
            _take({**environment(Path(folder)), **urls, "CONSOLE_PICTURES": str(_OUT)})
    for path in sorted(_OUT.glob("*.png")):
        make_smaller(path)
    return 0


def _take(variables: Mapping[str, str]) -> None:
    subprocess.run(["node", Path(__file__).parent / "pictures.mjs"], env=dict(variables), check=True, timeout=300)


if __name__ == "__main__":
    sys.exit(main())
