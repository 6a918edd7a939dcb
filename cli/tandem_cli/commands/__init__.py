"""The commands, one module a subject. A module adds its commands to the application when it is imported."""

import importlib

MODULES = (
    "tandem_cli.dev.command",
    "tandem_cli.commands.ingest",
    "tandem_cli.commands.search",
    "tandem_cli.commands.documents",
    "tandem_cli.commands.collections",
    "tandem_cli.commands.jobs",
    "tandem_cli.commands.status",
    "tandem_cli.commands.evaluate",
    "tandem_cli.commands.keys",
    "tandem_cli.commands.backup",
)
"""In the order in which the help shows their commands."""


def load() -> None:
    """Import all modules of commands."""
    for name in MODULES:
        importlib.import_module(name)
