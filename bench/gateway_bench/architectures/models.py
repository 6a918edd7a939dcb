"""Provides the model in the two forms that architectures read; a program of its own prepares each.

Both functions raise ``EnvironmentFailed`` if that program fails.
"""

import subprocess
from collections.abc import Callable
from pathlib import Path

from gateway_bench.architectures.environments import EnvironmentFailed, Environments

_PREPARE_SECONDS = 1800.0


def prepared_model(folder: Path, environments: Environments, report: Callable[[str], None]) -> Path:
    """Return the folder of the prepared model; prepare the model if it is missing."""
    if not (folder / "manifest.json").is_file():
        report(f"{folder} holds no prepared model: preparing it")
        python = environments.preparing_python()
        _checked([str(python), "-m", "tandem_embedder.prepare", "--out", str(folder)])
    return folder


def fetched_model(environments: Environments) -> Path:
    """Return the folder of the model in the form that architecture A reads; download it if it is missing."""
    python = environments.preparing_python()
    said = _checked([str(python), "-m", "gateway_bench.architectures.fetch_model"])
    return Path(said.strip().splitlines()[-1])


def _checked(command: list[str]) -> str:
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=True, timeout=_PREPARE_SECONDS
        )
    except subprocess.CalledProcessError as error:
        raise EnvironmentFailed(f"{' '.join(command[1:])} failed with status {error.returncode}") from error
    except subprocess.TimeoutExpired as error:
        raise EnvironmentFailed(f"{' '.join(command[1:])} took over {_PREPARE_SECONDS:g} s") from error
    return done.stdout
