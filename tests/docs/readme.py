"""Reads the README. ``python -m tests.docs.readme`` writes the tables of settings in it from the code."""

import dataclasses
import re
from pathlib import Path
from typing import Any

import tandem_embedder.settings
import tandem_gateway.settings

REPOSITORY = Path(__file__).resolve().parents[2]
README = REPOSITORY / "README.md"

_TABLE = re.compile(r"^\| variable \|.*\n(?:^\|.*\n)+", re.MULTILINE)
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


def write_tables() -> None:
    """Replace the README's tables of settings, each the first table under its service's heading."""
    text = README.read_text()
    for service, table in tables().items():
        heading = f"### Settings of the {service}\n"
        before, found, after = text.partition(heading)
        assert found, f"the README has no heading {heading!r}"
        text = before + heading + _TABLE.sub(lambda _, new=table: f"{new}\n", after, count=1)
    README.write_text(text)


if __name__ == "__main__":
    write_tables()
