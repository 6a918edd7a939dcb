"""Writes the tables of settings in docs/configuration.md from the code: ``python -m tests.docs.settings``."""

import dataclasses
import re
from typing import Any

import tandem_embedder.settings
import tandem_gateway.settings
from tests.docs.pages import DOCS

CONFIGURATION = DOCS / "configuration.md"

_TABLE = re.compile(r"^\| variable \|.*\n(?:^\|.*\n)+", re.MULTILINE)


def settings_table(settings: Any) -> str:
    """Return a settings dataclass as a Markdown table."""
    lines = ["| variable | default | what it does |", "| --- | --- | --- |"]
    for field in dataclasses.fields(settings):
        default = "" if field.default in (None, "", ()) else f"`{field.default}`"
        lines.append(f"| `TANDEM_{field.metadata['variable']}` | {default} | {field.metadata['help']} |")
    return "\n".join(lines)


def variables(settings: Any) -> set[str]:
    """Return the names of a settings dataclass's variables."""
    return {f"TANDEM_{field.metadata['variable']}" for field in dataclasses.fields(settings)}


def all_variables() -> set[str]:
    """Return the names of both services' variables."""
    return variables(tandem_gateway.settings.Settings) | variables(tandem_embedder.settings.Settings)


def tables() -> dict[str, str]:
    """Return each service's table of settings."""
    return {
        "gateway": settings_table(tandem_gateway.settings.Settings),
        "embedder": settings_table(tandem_embedder.settings.Settings),
    }


def with_tables(page: str) -> str:
    """Return a page with the tables of settings replaced, each the first table under its service's heading."""
    for service, table in tables().items():
        heading = f"## Settings of the {service}\n"
        before, found, after = page.partition(heading)
        assert found, f"the page has no heading {heading!r}"
        page = before + heading + _TABLE.sub(lambda _, new=table: f"{new}\n", after, count=1)
    return page


if __name__ == "__main__":
    CONFIGURATION.write_text(with_tables(CONFIGURATION.read_text()))
