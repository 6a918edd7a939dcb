"""MCP is an option: it needs its package, and a gateway without it loads none of its modules."""

import subprocess
import sys
from pathlib import Path

import pytest

from tandem_gateway.app import make_app
from tandem_gateway.settings import Settings
from tandem_runtime.settings import SettingsError


def test_without_its_package_the_setting_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mcp", None)
    with pytest.raises(SettingsError, match=r"TANDEM_MCP: the package mcp is not installed; install tandem-services"):
        make_app(Settings(data_dir=tmp_path, mcp=True), lambda: None)
    make_app(Settings(data_dir=tmp_path), lambda: None)


def test_without_the_setting_its_package_is_not_loaded(tmp_path: Path) -> None:
    script = f"""
import sys
from pathlib import Path
from tandem_gateway.app import make_app
from tandem_gateway.settings import Settings
make_app(Settings(data_dir=Path({str(tmp_path)!r})), lambda: None)
print(sorted({{"mcp", "mcp_types"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "[]\n"
