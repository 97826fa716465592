"""Limits of memory, on files as Linux machines, containers and batch systems have them."""

import builtins
import os
import subprocess
import sys

import pytest

from convexbn.programs import limits, memory

GB = 10**9
MEMINFO = (
    "MemTotal:  64000000 kB\nMemFree:  100 kB\nMemAvailable:  50000000 kB\nHugePages_Total: 0\n"
)


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A function that writes files below a root, and returns what is left by each limit."""
    monkeypatch.setattr(limits, "_of_process", lambda status: [])

    def free(files):
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        return limits.free(tmp_path)

    return free


def group(folder, maximum, usage, cache=0, version=2):
    """The files of a group: at most, in use, and of that in the cache of files."""
    names = {2: ("max", "current", ""), 1: ("limit_in_bytes", "usage_in_bytes", "total_")}
    most, used, total = names[version]
    return {
        f"sys/fs/cgroup/{folder}/memory.{most}": f"{maximum}\n",
        f"sys/fs/cgroup/{folder}/memory.{used}": f"{usage}\n",
        f"sys/fs/cgroup/{folder}/memory.stat": f"anon 7\n{total}inactive_file {cache}\n",
    }


def test_where_a_group_slows_down_is_a_limit_too(machine):
    """As `MemoryHigh` of systemd, which batch systems set below the limit proper."""
    files = group("a", 4 * GB, GB) | {"sys/fs/cgroup/a/memory.high": f"{3 * GB}\n"}
    left = machine({"proc/meminfo": MEMINFO, "proc/self/cgroup": "0::/a\n"} | files)
    assert left == {
        "the machine's memory": 51_200_000_000,
        "the cgroup /a (memory.max)": 3 * GB,
        "the cgroup /a (memory.high)": 2 * GB,
    }


def test_without_groups_it_is_what_the_machine_has(machine):
    assert machine({"proc/meminfo": MEMINFO}) == {"the machine's memory": 51_200_000_000}


def test_the_tightest_group_on_the_way_up_counts(machine):
    """As under Slurm: the job has a limit, neither its steps nor the machine have one."""
    left = machine(
        {"proc/meminfo": MEMINFO, "proc/self/cgroup": "0::/system.slice/job_7/step_0/user\n"}
        | group("system.slice/job_7/step_0", "max", GB)
        | group("system.slice/job_7", 4 * GB, 3 * GB, cache=GB)
        | group("system.slice", 90 * GB, 10 * GB)
    )
    assert left.pop("the machine's memory") == 51_200_000_000
    assert left == {
        "the cgroup /system.slice/job_7 (memory.max)": 2 * GB,
        "the cgroup /system.slice (memory.max)": 80 * GB,
    }


@pytest.mark.parametrize("path", ["/docker/0123", "/", "/../other"])
def test_a_container_sees_its_group_as_the_root(machine, path):
    left = machine({"proc/self/cgroup": f"0::{path}\n"} | group("", 2 * GB, GB // 2))
    assert left["the cgroup / (memory.max)"] == 3 * GB // 2


def test_version_1_and_its_huge_number_for_no_limit(machine):
    files = {"proc/self/cgroup": "9:name=systemd:/x\n4:cpuset,memory:/slurm/uid_1/job_2\n1:cpu:/\n"}
    files |= group("memory/slurm/uid_1/job_2", 5 * GB, 2 * GB, cache=GB, version=1)
    files |= group("memory/slurm", 2**63 - 4096, 0, version=1)
    left = machine({"proc/meminfo": MEMINFO} | files)
    assert min(left.values()) == 4 * GB
    name = min(left, key=left.get)
    assert name == "the cgroup /slurm/uid_1/job_2 (memory.limit_in_bytes)"


def test_both_versions_side_by_side(machine):
    files = {"proc/self/cgroup": "4:memory:/a\n0::/b\n"} | group("memory/a", 3 * GB, 0, version=1)
    left = machine(files | group("unified/b", 2 * GB, 0))
    assert {size for name, size in left.items() if "cgroup" in name} == {3 * GB, 2 * GB}


def test_more_in_use_than_allowed_leaves_nothing(machine):
    left = machine({"proc/self/cgroup": "0::/a\n"} | group("a", GB, 2 * GB))
    assert left["the cgroup /a (memory.max)"] == 0


def test_a_group_with_odd_files_is_passed_over(machine):
    files = {
        "proc/self/cgroup": "what\n\n3:memory\n0::/a/b\n",
        "sys/fs/cgroup/a/b/memory.max": "100\n",
    }
    files |= {"sys/fs/cgroup/a/memory.max": "", "proc/meminfo": "MemFree: 1 kB\n"}
    assert machine(files) == {}


@pytest.fixture
def elsewhere(monkeypatch, tmp_path):
    """A system without /proc, without POSIX's limits and without sysconf, as Windows."""
    real = builtins.__import__

    def without(name, *args):
        if name == "resource":
            raise ImportError(name)
        return real(name, *args)

    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.delattr(os, "sysconf_names", raising=False)
    monkeypatch.delattr(os, "sysconf", raising=False)
    whole = limits.free
    monkeypatch.setattr(limits, "free", lambda: whole(tmp_path))


def test_where_nothing_is_known_nothing_is_checked(elsewhere):
    assert limits.free() == {}
    assert memory.available() is None
    memory.check(10**6, 10**4, 10**6, 10)


@pytest.mark.parametrize("limit", ["RLIMIT_AS (ulimit -v)", "RLIMIT_DATA (ulimit -d)"])
def test_limits_of_the_process_count_what_it_has_already(tmp_path, monkeypatch, limit):
    resource = pytest.importorskip("resource")
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/status").write_text("Name:\tx\nVmSize:\t 3000 kB\nVmData:\t 3000 kB\n")
    asked, infinity = getattr(resource, limit.split()[0]), resource.RLIM_INFINITY
    monkeypatch.setattr(
        resource, "getrlimit", lambda kind: (5000 * 1024 if kind == asked else infinity, infinity)
    )
    left = limits.free(tmp_path)
    left.pop("the machine's memory", None)
    assert left == {limit: 2000 * 1024}


CONFINED = """
import resource
import numpy as np
from convexbn import solve
from convexbn.programs import limits

U, D, y = np.ones((3000, 20)), np.ones((3000, 4000), bool), np.ones(3000)
assert solve(U[:4, :2], D[:4, :2], y[:4], 1.0).certificate.converged  # all libraries are in
size = limits._sizes(open("/proc/self/status").read())["VmSize"]
resource.setrlimit(resource.RLIMIT_AS, (size + 4 * 10**8, resource.RLIM_INFINITY))
try:
    solve(U, D, y, 1.0)
except ValueError as error:
    print(error)
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="reads its size from /proc")
def test_a_solve_that_the_limit_of_its_process_forbids_is_refused(tmp_path):
    run = subprocess.run(
        [sys.executable, "-c", CONFINED], capture_output=True, text=True, check=True
    )
    assert "MB are free on cpu" in run.stdout
    assert "the tightest limit is RLIMIT_AS (ulimit -v)" in run.stdout


def test_the_message_names_the_limit(monkeypatch):
    monkeypatch.setattr(limits, "free", lambda: {"the machine": GB, "the cgroup /job": 10})
    with pytest.raises(ValueError, match=r"10 bytes are free on cpu; .*limit is the cgroup /job$"):
        memory.check(2, 2, 2, 1)
