"""Reads the README, and writes what of it is made from the code: ``python -m tests.docs.readme`` prints the tables."""

import dataclasses
import re
from pathlib import Path
from typing import Any

import tandem_embedder.settings
import tandem_gateway.settings

REPOSITORY = Path(__file__).resolve().parents[2]
README = REPOSITORY / "README.md"

_BLOCK = re.compile(r"^```sh\n(?P<command>.*?)^```\n(?:\n```json\n(?P<reply>.*?)^```\n)?", re.MULTILINE | re.DOTALL)


def settings_table(settings: Any) -> str:
    """Return a settings dataclass as a Markdown table."""
    lines = ["| variable | default | what it does |", "| --- | --- | --- |"]
    for field in dataclasses.fields(settings):
        default = "" if field.default is None else f"`{field.default}`"
        lines.append(f"| `TANDEM_{field.metadata['variable']}` | {default} | {field.metadata['help']} |")
    return "\n".join(lines)


def variables(settings: Any) -> set[str]:
    """Return the names of a settings dataclass's variables."""
    return {f"TANDEM_{field.metadata['variable']}" for field in dataclasses.fields(settings)}


def tables() -> dict[str, str]:
    """Return each service's table of settings."""
    return {
        "gateway": settings_table(tandem_gateway.settings.Settings),
        "embedder": settings_table(tandem_embedder.settings.Settings),
    }


def commands() -> list[tuple[str, str | None]]:
    """Return the shell commands of the README, each with the reply that is shown under it."""
    return [(found["command"], found["reply"]) for found in _BLOCK.finditer(README.read_text())]


if __name__ == "__main__":
    for name, table in tables().items():
        print(f"{name}:\n\n{table}\n")
