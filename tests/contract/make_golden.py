"""Writes the golden bytes of messages that have none: ``python -m tests.contract.make_golden``.

It never overwrites a file: golden bytes are what older services and clients send.
"""

import sys
from pathlib import Path

import msgspec

from tests.contract.samples import SAMPLES
from tests.contract.structs import SCHEMA_FILE, schema

GOLDEN = Path(__file__).parent / "golden"


def encode(name: str, message: object) -> bytes:
    return msgspec.msgpack.encode(message) if name.endswith(".msgpack") else msgspec.json.encode(message)


def main() -> None:
    GOLDEN.mkdir(exist_ok=True)
    wanted = {name: encode(name, message) for name, message in SAMPLES.items()}
    wanted[SCHEMA_FILE] = msgspec.json.format(msgspec.json.encode(schema()), indent=2) + b"\n"
    for name, content in wanted.items():
        try:
            with (GOLDEN / name).open("xb") as file:
                file.write(content)
            sys.stdout.write(f"{name}: written\n")
        except FileExistsError:
            sys.stdout.write(f"{name}: kept\n")


if __name__ == "__main__":
    main()
