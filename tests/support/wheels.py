"""Tandem's distributions, built as wheels in the development environment without a download."""

import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]

PROJECTS = {
    "tandem-contract": REPOSITORY / "shared" / "contract",
    "tandem-services": REPOSITORY,
    "tandem-client": REPOSITORY / "clients" / "python",
    "tandem-search": REPOSITORY / "cli",
}
"""Distribution → the folder of its pyproject.toml."""

PACKAGES = {
    "tandem-contract": [REPOSITORY / "shared" / "contract" / "tandem_contract"],
    "tandem-services": [
        REPOSITORY / "shared" / "runtime" / "tandem_runtime",
        REPOSITORY / "shared" / "tools" / "tandem_tools",
        REPOSITORY / "services" / "embedder" / "tandem_embedder",
        REPOSITORY / "services" / "gateway" / "tandem_gateway",
        REPOSITORY / "bench" / "gateway_bench",
    ],
    "tandem-client": [REPOSITORY / "clients" / "python" / "tandem_client"],
    "tandem-search": [REPOSITORY / "cli" / "tandem_cli"],
}
"""Distribution → the packages in its wheel."""


def run(*command: str | Path) -> str:
    """Run a program and return its output; fail the test with the end of it if it fails."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def build(folder: Path, *names: str) -> dict[str, Path]:
    """Build the wheels of these distributions, or of all, and return them by name."""
    projects = [PROJECTS[name] for name in names or PROJECTS]
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", folder, *projects)
    return {wheel.name.partition("-")[0].replace("_", "-"): wheel for wheel in folder.glob("*.whl")}
