"""docs/cli.md names the commands, options and exit statuses that there are."""

import re
from pathlib import Path

from tandem_cli import commands
from tandem_cli.app import app
from tandem_cli.failures import Failed, Status
from tests.cli.conftest import Tandem

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "cli.md").read_text()


def rows(heading: str) -> list[list[str]]:
    """Return the cells of the first table below a heading."""
    lines = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")][2:]


def names() -> dict[str, list[str]]:
    """Return each command with those in it."""
    commands.load()
    groups = {str(group.name): group.typer_instance for group in app.registered_groups}
    inner = {
        name: [str(command.name) for command in group.registered_commands] for name, group in groups.items() if group
    }
    return {
        str(command.name or command.callback.__name__): [] for command in app.registered_commands if command.callback
    } | inner


def test_the_table_has_each_command_and_those_in_it() -> None:
    listed = {row[0].strip("`").removeprefix("tandem "): row[1] for row in rows("Commands")}
    assert set(listed) == set(names())
    for name, inner in names().items():
        assert all(f"`{command}`" in listed[name] for command in inner), name


def test_the_table_of_statuses_is_that_of_the_code() -> None:
    assert [int(row[0]) for row in rows("Exit status")] == [status.value for status in Status]
    assert {kind.status for kind in Failed.__subclasses__()} <= set(Status)


def test_each_option_that_the_page_names_is_in_the_help(tandem: Tandem) -> None:
    helps = tandem("--help").out
    for name, inner in names().items():
        for command in inner or [""]:
            helps += tandem(name, *[command][: bool(command)], "--help").out
    options = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", PAGE)) - {"--find-links"}
    assert len(options) > 15
    assert {option for option in options if f"{option} " not in helps and f"{option}/" not in helps} <= {"--no-wait"}
    assert "--no-wait" in helps
