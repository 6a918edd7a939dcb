"""The commands of the section "TLS and tokens" start both services with TLS and a token."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tandem_tools.process import free_port, inherited_environment
from tests.docs.pages import DOCS
from tests.support.certificates import Authority


def commands_of(heading: str) -> str:
    """Return the first indented block of a section of docs/deployment.md."""
    section = (DOCS / "deployment.md").read_text().split(f"\n{heading}\n", 1)[1]
    block = re.search(r"(?:^    .*\n)+", section, re.MULTILINE)
    assert block is not None
    return block[0]


@pytest.mark.slow
def test_the_commands_start_both_services(tmp_path: Path, model_dir: Path) -> None:
    authority = Authority(tmp_path / "authority")
    (tmp_path / "ca.pem").write_bytes(authority.file.read_bytes())
    for service in ("embedder", "gateway"):
        files = authority.server_files()
        (tmp_path / f"{service}.pem").write_bytes(files.certificate.read_bytes())
        (tmp_path / f"{service}.key").write_bytes(files.key.read_bytes())
    embedder, gateway = free_port(), free_port()
    script = commands_of("## TLS and tokens").replace(":8080", f":{embedder}").replace(":8000", f":{gateway}")
    done = subprocess.run(
        ["bash", "-ec", f"trap 'kill $(jobs -p); wait' EXIT\n{script}\n"],
        cwd=tmp_path,
        env={
            **inherited_environment(),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "TANDEM_EMBEDDER_PORT": str(embedder),
            "TANDEM_GATEWAY_PORT": str(gateway),
            "TANDEM_MODEL_DIR": str(model_dir),
            "TANDEM_DATA_DIR": str(tmp_path / "data"),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        timeout=120,
        check=True,
    )
    assert done.stdout == '{"status":"ready"}'
