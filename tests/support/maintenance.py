"""Runs the gateway's maintenance commands, as an operator does."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tandem_tools.process import inherited_environment


def maintain(
    command: str, data_dir: Path, *arguments: str | Path, settings: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run ``python -m tandem_gateway verify``, ``rebuild`` or ``backup`` to its end."""
    environment = inherited_environment()
    return subprocess.run(
        [sys.executable, "-m", "tandem_gateway", command, "--data-dir", str(data_dir), *map(str, arguments)],
        env={**environment, **(settings or {})},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def assert_sound(data_dir: Path) -> None:
    """Check that ``verify`` finds the data of a stopped gateway sound."""
    done = maintain("verify", data_dir)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("store: sound\n")
    assert done.stderr == ""
