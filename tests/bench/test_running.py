"""An architecture's processes: the runner measures them, ends them, reports failures, and leaves none behind."""

import socket
import sys
import time
from pathlib import Path

import psutil
import pytest

from gateway_bench.architectures.catalogue import ARCHITECTURES, Deployment, Service, Site
from gateway_bench.architectures.environments import EnvironmentFailed, Environments
from gateway_bench.architectures.running import ArchitectureFailed, Running
from gateway_bench.architectures.sampling import Sampler
from tandem_tools.process import free_port
from tests.support.stack import wait_until

SERVE = (
    "import http.server, subprocess, sys\n"
    "child = subprocess.Popen([sys.executable, '-c', 'block = bytearray(40_000_000)\\nwhile True: pass'])\n"
    "http.server.ThreadingHTTPServer(('127.0.0.1', int(sys.argv[1])), http.server.SimpleHTTPRequestHandler)"
    ".serve_forever()"
)


def is_alive(process: psutil.Process) -> bool:
    """Return whether the process runs; an ended process may remain as a zombie until its parent reaps it."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def running(folder: Path, *arguments: str, ready: str, url: str = "http://127.0.0.1:1") -> Running:
    service = Service("part", "any", arguments, {}, (ready,))
    return Running(Deployment(url, (service,)), lambda name: Path(sys.executable), folder, folder)


def test_children_are_measured_with_their_parent_and_end_with_it(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with running(tmp_path, "-c", SERVE, url.rpartition(":")[2], ready=f"{url}/", url=url) as part:
        assert part.cold_start_seconds > 0
        parent = psutil.Process(part.pids["part"])
        family = [parent, *parent.children(recursive=True)]
        assert len(family) == 2
        with Sampler(part.pids) as sampler:
            until = time.monotonic() + 30
            before = family[1].cpu_times().user
            while family[1].cpu_times().user < before + 0.05:
                assert time.monotonic() < until
        used = sampler.usage["part"]
        assert used.cpu_seconds >= 0.04
        assert used.rss_peak >= used.rss_end > 40
        assert used.pss_end <= used.rss_end
    wait_until(lambda: not any(is_alive(process) for process in family), "the end of parent and child", 10)


def test_a_process_that_ends_fails_the_run_with_its_last_line_and_ends_the_others(tmp_path: Path) -> None:
    port = free_port()
    good = Service("good", "any", ("-m", "http.server", str(port)), {}, (f"http://127.0.0.1:{port}/",))
    bad = Service("bad", "any", ("-c", "raise ValueError('no such thing')"), {}, ("http://127.0.0.1:1/",))
    part = Running(Deployment("http://127.0.0.1:1", (good, bad)), lambda name: Path(sys.executable), tmp_path, tmp_path)
    with pytest.raises(ArchitectureFailed, match="the bad ended with status 1: ValueError: no such thing"), part:
        pass
    with pytest.raises(OSError, match="refused"), socket.create_connection(("127.0.0.1", port), 1):
        pass


def test_a_failed_environment_reports_the_reason_and_a_given_one_is_not_made(tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.write_text("a file where the folder should be")
    said: list[str] = []
    with pytest.raises(EnvironmentFailed, match=r"venv .* failed: .*Not a directory"):
        Environments(taken, said.append).python("monolith")
    assert "monolith" in said[0]
    assert Environments(taken, said.append, {"monolith": Path("/given")}).python("monolith") == Path("/given")


def test_two_replicas_are_named_to_the_gateway_and_share_the_cores(tmp_path: Path) -> None:
    ports = iter(range(9001, 9010))
    site = Site(tmp_path, tmp_path, lambda: next(ports))
    deployment = ARCHITECTURES["Cx2-int8"].deploy(site)
    first, second, gateway = deployment.services
    assert gateway.variables["TANDEM_EMBEDDER_URL"] == "http://127.0.0.1:9001,http://127.0.0.1:9002"
    assert first.variables["TANDEM_EMBEDDER_PORT"] == "9001"
    assert second.variables["TANDEM_EMBEDDER_PORT"] == "9002"
    assert first.variables["TANDEM_WORKERS"] == second.variables["TANDEM_WORKERS"]
    assert deployment.url == "http://127.0.0.1:9003"
