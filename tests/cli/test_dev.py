"""`tandem dev` when the model cannot be had; tests/e2e and test_wheels.py run it with a model."""

import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tandem_tools.process import Process, free_port, inherited_environment

pytestmark = pytest.mark.slow


def environment(folder: Path, index: str) -> dict[str, str]:
    """Return an environment in which the model's weights have to come from ``index``, and nothing is cached."""
    return {
        **inherited_environment("TANDEM_", "XDG_", "HF_", "PIP_", "http", "HTTP"),
        "HOME": str(folder),
        "HF_ENDPOINT": index,
        "HF_HUB_OFFLINE": "1",
        "PIP_INDEX_URL": index,
        "PIP_RETRIES": "0",
        "PIP_CONFIG_FILE": "/dev/null",
        "PYTHONUNBUFFERED": "1",
    }


def command() -> list[str]:
    return [sys.executable, "-m", "tandem_cli", "dev", "--port", str(free_port()), "--embedder-port", str(free_port())]


def test_without_weights_it_says_so_and_starts_nothing(tmp_path: Path) -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    done = subprocess.run(
        command(),
        env=environment(tmp_path, nobody),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    assert "tandem: preparing the model, once, in " in done.stdout
    assert "is ready" not in done.stdout
    assert done.stderr.splitlines()[-1].startswith("tandem: the model could not be prepared in ")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("option", ["--port", "--embedder-port"])
def test_a_port_in_use_is_told_with_the_option_that_changes_it(option: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            [*command(), option, str(port)],
            env=environment(tmp_path, "http://127.0.0.1:9"),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert f"cannot listen on 127.0.0.1:{port} (" in line
    assert f"set another port by {option} or TANDEM_" in line


def test_a_signal_while_the_model_is_prepared_leaves_no_process_behind(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        process = Process(
            "tandem dev",
            command(),
            tmp_path / "dev.log",
            env=environment(tmp_path, f"http://127.0.0.1:{silent.getsockname()[1]}"),
            cwd=tmp_path,
            ready=lambda http: None if "downloading" in process.log_text() else "it does not download yet",
        )
        with process:
            children = psutil.Process(process.pid).children(recursive=True)
            assert children
            process.signal(signal.SIGTERM)
            assert process.wait_exit(60) == 130
        gone, alive = psutil.wait_procs(children, timeout=30)
    assert alive == []
    assert len(gone) == len(children)
