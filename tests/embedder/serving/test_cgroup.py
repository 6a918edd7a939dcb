"""The number of threads from the cgroup's quota and the CPU affinity."""

from pathlib import Path

import pytest

from tandem_embedder.cpu_quota import cpu_quota, parse_v1, parse_v2, thread_count, usable_threads


@pytest.mark.parametrize(
    ("quota", "cores", "threads"),
    [(None, 8, 8), (0.5, 8, 1), (1.0, 8, 1), (1.5, 8, 1), (2.0, 8, 2), (16.0, 8, 8), (None, 1, 1)],
)
def test_threads_are_the_whole_cpus_of_the_quota_and_at_least_one(quota: float | None, cores: int, threads: int):
    assert thread_count(quota, cores) == threads


@pytest.mark.parametrize(
    ("text", "cpus"),
    [("max 100000\n", None), ("50000 100000\n", 0.5), ("200000 100000", 2.0), ("", None), (None, None), ("x y", None)],
)
def test_v2(text: str | None, cpus: float | None):
    assert parse_v2(text) == cpus


@pytest.mark.parametrize(
    ("quota", "period", "cpus"),
    [("-1\n", "100000\n", None), ("150000\n", "100000\n", 1.5), (None, None, None), ("1", "0", None)],
)
def test_v1(quota: str | None, period: str | None, cpus: float | None):
    assert parse_v1(quota, period) == cpus


def write(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


def test_a_container_sees_its_own_limit_at_the_root(tmp_path: Path):
    root = write(tmp_path, {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "150000 100000\n"})
    assert cpu_quota(root) == 1.5


def test_the_smallest_limit_on_the_way_up_counts(tmp_path: Path):
    root = write(
        tmp_path,
        {
            "proc/self/cgroup": "0::/pod/container\n",
            "sys/fs/cgroup/pod/container/cpu.max": "max 100000\n",
            "sys/fs/cgroup/pod/cpu.max": "300000 100000\n",
        },
    )
    assert cpu_quota(root) == 3.0


def test_the_older_hierarchy(tmp_path: Path):
    root = write(
        tmp_path,
        {
            "proc/self/cgroup": "5:memory:/x\n4:cpu,cpuacct:/docker/a\n",
            "sys/fs/cgroup/cpu/docker/a/cpu.cfs_quota_us": "50000\n",
            "sys/fs/cgroup/cpu/docker/a/cpu.cfs_period_us": "100000\n",
        },
    )
    assert cpu_quota(root) == 0.5


def test_no_cgroup_is_no_limit(tmp_path: Path):
    assert cpu_quota(tmp_path) is None


def test_this_process_may_use_a_thread():
    assert usable_threads() >= 1
