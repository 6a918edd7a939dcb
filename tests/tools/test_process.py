"""The process runner: a process is ready inside its context, and leaves nothing behind."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx2 as httpx
import psutil
import pytest

from tandem_tools.group import ProcessGroup
from tandem_tools.process import Process, ProcessFailed, free_port, inherited_environment
from tandem_tools.readiness import answers, get, wait_until_ready
from tests.support.stack import wait_until

SLEEP = "import time; time.sleep(600)"
# Its child ignores SIGTERM, and the process itself does so on request.
WITH_CHILD = """
import signal, subprocess, sys, time
deaf = "signal.signal(signal.SIGTERM, signal.SIG_IGN)"
child = subprocess.Popen([sys.executable, "-c", f"import signal, time; {deaf}; time.sleep(600)"])
if sys.argv[1] == "deaf":
    exec(deaf)
print(child.pid, flush=True)
time.sleep(600)
"""


def python(folder: Path, code: str, *arguments: str, name: str = "part", **options: object) -> Process:
    return Process(name, [sys.executable, "-c", code, *arguments], folder / f"{name}.log", **options)  # type: ignore[arg-type]


def serving(folder: Path, port: int, name: str = "server") -> Process:
    command = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"]
    return Process(name, command, folder / f"{name}.log", cwd=folder, ready=answers(f"http://127.0.0.1:{port}/"))


def said_pid(process: Process) -> psutil.Process:
    return psutil.Process(int(wait_until(process.log_text, "the child's process id")))


def is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_gone(process: psutil.Process) -> None:
    wait_until(lambda: not is_alive(process), "the end of a child")


def test_a_server_answers_in_its_context_and_its_port_is_free_afterwards(tmp_path: Path) -> None:
    port = free_port()
    with serving(tmp_path, port) as server:
        assert get(f"http://127.0.0.1:{port}/")[0] == 200
        assert get(f"http://127.0.0.1:{port}/absent")[0] == 404
        assert server.is_running()
        pid = server.pid
    assert not psutil.pid_exists(pid)
    assert server.status == -signal.SIGTERM
    assert get(f"http://127.0.0.1:{port}/")[0] == 0
    with socket.socket() as free:
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        free.bind(("127.0.0.1", port))


def test_a_process_that_ends_before_it_is_ready_shows_the_end_of_its_log(tmp_path: Path) -> None:
    code = "import sys; print(*range(100), sep='\\n', flush=True); raise ValueError('no such thing')"
    process = python(tmp_path, code, ready=answers("http://127.0.0.1:1/"))
    with pytest.raises(
        ProcessFailed, match=r"^the part ended with status 1\n(.*\n)+ValueError: no such thing$"
    ) as failed:
        process.__enter__()
    assert failed.value.line == "the part ended with status 1: ValueError: no such thing"
    assert str(failed.value).startswith("the part ended with status 1\n")
    assert str(failed.value).endswith("\nValueError: no such thing")
    assert "\n99\n" in str(failed.value)
    assert "\n50\n" not in str(failed.value)


def test_a_process_that_is_not_ready_in_time_is_ended_and_the_reason_is_given(tmp_path: Path) -> None:
    process = python(tmp_path, SLEEP, ready=lambda http: "it is still loading", ready_seconds=0.1)
    with pytest.raises(ProcessFailed, match=r"the part is not ready after 0.1 s \(it is still loading\)"), process:
        pass
    assert process.status == -signal.SIGKILL


def test_a_check_that_raises_ends_the_process(tmp_path: Path) -> None:
    def hopeless(http: httpx.Client) -> str | None:
        raise LookupError("the wrong server")

    process = python(tmp_path, SLEEP, ready=hopeless)
    with pytest.raises(LookupError, match="the wrong server"), process:
        pass
    assert not process.is_running()


def test_a_program_that_does_not_exist_is_named(tmp_path: Path) -> None:
    process = Process("part", [tmp_path / "absent"], tmp_path / "part.log")
    with pytest.raises(ProcessFailed, match=r"the part cannot be started: .*absent"):
        process.start()
    assert not process.is_running()
    process.close()


def test_a_child_that_ignores_sigterm_ends_with_its_parent(tmp_path: Path) -> None:
    with python(tmp_path, WITH_CHILD, "obedient") as process:
        child = said_pid(process)
        assert is_alive(child)
    assert process.status == -signal.SIGTERM
    wait_gone(child)


def test_a_process_that_ignores_sigterm_is_killed_after_the_deadline(tmp_path: Path) -> None:
    process = python(tmp_path, WITH_CHILD, "deaf", stop_seconds=0.2).start()
    child = said_pid(process)
    assert process.stop() is False
    assert process.status == -signal.SIGKILL
    wait_gone(child)
    process.start()
    wait_until(lambda: len(process.log_text().split()) == 2, "the second child")
    with pytest.raises(ProcessFailed, match=r"the part still runs after 0.2 s"):
        process.terminate()
    assert not process.is_running()


def test_kill_leaves_the_children_until_close(tmp_path: Path) -> None:
    process = python(tmp_path, WITH_CHILD, "obedient").start()
    child = said_pid(process)
    process.kill()
    assert process.status == -signal.SIGKILL
    assert is_alive(child)
    process.close()
    wait_gone(child)


def test_a_process_starts_again_and_only_its_last_start_is_shown(tmp_path: Path) -> None:
    process = python(tmp_path, "import sys; sys.exit(print(len(open(sys.argv[1]).read()) and 'again'))")
    process.command.append(str(tmp_path / "part.log"))
    assert process.start().wait_exit(30) == 0
    process.start()
    with pytest.raises(ProcessFailed) as failed:
        wait_until(process.check, "its end")
    assert failed.value.line == "the part ended with status 0: again"
    assert process.log_text() == "0\nagain\n"
    process.stop()


def test_a_process_cannot_be_started_twice(tmp_path: Path) -> None:
    with python(tmp_path, SLEEP) as process, pytest.raises(RuntimeError, match="runs already"):
        process.start()


def test_no_setting_of_the_caller_reaches_a_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TANDEM_PRECISION", "fp32")
    monkeypatch.setenv("OTHER", "kept")
    assert "TANDEM_PRECISION" not in inherited_environment()
    assert inherited_environment()["OTHER"] == "kept"
    assert "OTHER" not in inherited_environment("TANDEM_", "OTH")
    code = "import os; print(sorted(name for name in os.environ if name in ('TANDEM_PRECISION', 'OTHER')))"
    process = python(tmp_path, code).start()
    assert process.wait_exit() == 0
    assert process.log_text() == "['OTHER']\n"


def test_waiting_looks_once_at_least_and_no_longer_than_the_deadline() -> None:
    looks = []
    assert wait_until_ready(lambda http: looks.append(1), time.monotonic() - 1) is None
    assert wait_until_ready(lambda http: looks.append(1) or "no", time.monotonic() - 1) == "no"
    assert len(looks) == 2
    reason = wait_until_ready(answers(f"http://127.0.0.1:{free_port()}/"), time.monotonic() - 1)
    assert reason is not None
    assert reason.startswith("no answer: ")


def test_a_group_ends_as_a_whole_when_one_of_it_does_not_come_up(tmp_path: Path) -> None:
    port = free_port()
    bad = python(tmp_path, "raise ValueError('no such thing')", name="bad", ready=answers("http://127.0.0.1:1/"))
    good = serving(tmp_path, port)
    with pytest.raises(ProcessFailed, match="the bad ended with status 1"), ProcessGroup([good, bad]):
        pass
    assert not good.is_running()
    assert get(f"http://127.0.0.1:{port}/")[0] == 0


def test_a_group_ends_in_reverse_order_and_reports_killed_processes(tmp_path: Path) -> None:
    code = "import signal, sys, time\n"
    tell = "signal.signal(signal.SIGTERM, lambda *_: (open(sys.argv[1], 'a').write(sys.argv[2] + ' '), sys.exit()))\n"
    told = tmp_path / "told"
    obedient = [
        python(tmp_path, f"{code}{tell}print(1, flush=True)\n{SLEEP}", str(told), name, name=name)
        for name in ("first", "second")
    ]
    deaf = python(tmp_path, WITH_CHILD, "deaf", name="deaf", stop_seconds=0.1)
    reports: list[str] = []
    obedient[0].ready = lambda http: None if obedient[0].log_text() else "silent"
    with ProcessGroup([*obedient, deaf], report=reports.append) as group:
        assert reports == ["the first is ready"]
        wait_until(lambda: all(process.log_text() for process in group.processes), "all of them run")
        group.check()
    assert told.read_text() == "second first "
    assert reports[1:] == ["the deaf did not stop within 0.1 s and was killed"]
    with pytest.raises(ProcessFailed, match="the first ended with status 0"):
        group.check()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_unwinds_a_runner_and_the_next_ones_do_not_disturb_it(
    number: signal.Signals, tmp_path: Path
) -> None:
    code = f"""
import os, signal, sys
from pathlib import Path
from tandem_tools.group import interrupt_once
from tandem_tools.process import Process
interrupt_once()
process = Process("part", [sys.executable, "-c", {SLEEP!r}], Path({str(tmp_path / "part.log")!r}))
try:
    with process:
        print(process.pid, flush=True)
        signal.pause()
except KeyboardInterrupt:
    os.kill(os.getpid(), {number.value})
    print(process.status, flush=True)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as runner:
        assert runner.stdout is not None
        part = psutil.Process(int(runner.stdout.readline()))
        runner.send_signal(number)
        assert runner.stdout.readline() == f"{-signal.SIGTERM}\n"
        assert runner.wait(30) == 0
    assert not is_alive(part)
    assert not os.path.exists(f"/proc/{part.pid}")
