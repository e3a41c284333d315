"""The thread team: how large it is, and that it ends, whatever goes wrong in a member."""

import multiprocessing
import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from fastlr import machine
from fastlr.kernels.cpu import compiling, starting, team
from fastlr.kernels.cpu.team import together, wait_for_all


@pytest.fixture
def fresh(monkeypatch):
    """A team that has no threads yet."""
    made = team._Team()
    monkeypatch.setattr(team, "_team", lambda: made)
    return made


@pytest.fixture(scope="module")
def meeting():
    """Return a compiled function whose members meet at many barriers, and count where they are."""
    from numba import njit

    @njit(nogil=True)
    def meet(member, size, counter, seen):
        for turn in range(50):
            seen[member] += 1
            wait_for_all(counter, (2 * turn + 1) * size)
            if seen.min() != turn + 1:
                seen[member] = -1000
            wait_for_all(counter, (2 * turn + 2) * size)

    return meet


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_members_wait_for_each_other(meeting, fresh, size):
    seen = np.zeros(size, np.int64)
    together(meeting, size, seen)
    assert (seen == 50).all()
    assert fresh.helpers == size - 1


def test_a_thread_that_cannot_start_makes_the_team_smaller(meeting, fresh, monkeypatch):
    """The third start fails: those that were started do not wait for it."""
    start, started, said = threading.Thread.start, [], []

    def fail(thread):
        if len(started) == 2:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", fail)
    monkeypatch.setattr(team.LOG, "warning", said.append)
    team._say_fewer.cache_clear()
    sizes = []

    def work(member, size, counter, seen):
        sizes.append(size)
        meeting(member, size, counter, seen[:size])

    for _ in range(3):
        seen = np.zeros(8, np.int64)
        together(work, 8, seen)
        assert seen.tolist() == [50] * 3 + [0] * 5
    assert set(sizes) == {3}
    assert said == ["no more threads can be started: the work goes on in 3, and takes longer"]


def test_no_thread_at_all_is_work_for_one(meeting, fresh, monkeypatch):
    def fail(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", fail)
    seen = np.zeros(1, np.int64)
    together(meeting, 4, seen)
    assert seen.tolist() == [50]


@pytest.mark.parametrize("culprit", [0, 1, 2])
@pytest.mark.parametrize("error", [MemoryError, KeyboardInterrupt])
def test_an_exception_in_one_member_ends_all(meeting, fresh, culprit, error):
    def work(member, size, counter, seen):
        if member == culprit:
            raise error("no room")
        meeting(member, size, counter, seen)

    for _ in range(3):
        with pytest.raises(error, match="no room"):
            together(work, 3, np.zeros(3, np.int64))
    seen = np.zeros(3, np.int64)
    together(meeting, 3, seen)
    assert (seen == 50).all(), "the team works on"


def test_a_child_process_has_a_team_of_its_own(meeting):
    if "fork" not in multiprocessing.get_all_start_methods():
        pytest.skip("this system does not fork")
    seen = np.zeros(3, np.int64)
    together(meeting, 3, seen)
    code = """
import os, sys, warnings
warnings.simplefilter("ignore")
import numpy as np, fastlr
from fastlr.kernels.cpu import starting
starting.size_for = starting.size_that_meets = lambda operations, alone=0: 3
X, y = np.random.default_rng(0).integers(0, 256, (40, 30), dtype=np.uint8), np.arange(40) % 2
before = fastlr.train(X, y, iterations=30, backend="numba").costs
child = os.fork()
after = fastlr.train(X, y, iterations=30, backend="numba").costs
if child == 0:
    os._exit(0 if after == before else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), after == before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout == "0 True\n", done.stderr


def test_where_no_thread_can_yield_one_works_alone(monkeypatch):
    monkeypatch.setattr(team, "YIELD", None)
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    assert team.team_size() == 1


@pytest.mark.slow
def test_a_system_without_sched_yield_starts_and_trains():
    """As on a system that has neither name: LLVM is never asked for one, which would end the process."""
    code = """
import ctypes, numba, llvmlite.binding
class Nothing:
    def __init__(self, *_):
        pass
ctypes.CDLL, real = Nothing, ctypes.CDLL
from fastlr.kernels.cpu import team
ctypes.CDLL = real
assert team.YIELD is None and team.team_size() == 1
import numpy as np, fastlr
print(fastlr.train(np.eye(4), [0, 1, 0, 1], iterations=3, form="gram", backend="numba").costs[0])
"""
    own = os.environ | {"NUMBA_CACHE_DIR": os.devnull}  # its code is not that of other processes
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False, env=own
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) == pytest.approx(np.log(2))


def test_windows_has_a_name_of_its_own(monkeypatch):
    asked = []

    class Library:
        def __init__(self, name):
            asked.append(name)

        def __getattr__(self, name):
            if name != "SwitchToThread":
                raise AttributeError(name)
            return compiling.ctypes.c_void_p(1234)

    monkeypatch.setattr(compiling.ctypes, "CDLL", Library)
    monkeypatch.setattr(compiling.ctypes, "WinDLL", Library, raising=False)
    assert compiling.find_yield() == 1234
    assert asked == [None, "kernel32"]


@pytest.fixture
def cgroup(tmp_path, monkeypatch):
    """Return a function that writes control groups and returns the CPUs that they leave of eight."""
    monkeypatch.setattr(machine, "CGROUPS", tmp_path)
    monkeypatch.setattr(machine, "OWN_CGROUPS", tmp_path / "own")
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda _: range(8), raising=False)

    def usable(own: str, **files: str) -> int:
        (tmp_path / "own").write_text(own)
        for name, text in files.items():
            path = tmp_path / name.replace("__", "/").replace("_max", ".max").replace("_cfs", ".cfs")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        machine._quota.cache_clear()
        return machine.usable_cpus()

    yield usable
    machine._quota.cache_clear()


def test_a_containers_quota_counts(cgroup):
    assert cgroup("0::/\n") == 8
    assert cgroup("0::/\n", cpu_max="max 100000\n") == 8
    assert cgroup("0::/\n", cpu_max="250000 100000\n") == 3
    assert (
        cgroup("0::/a/b\n", a__cpu_max="50000 100000\n", cpu_max="max 100000\n", a__b__cpu_max="400000 100000\n") == 1
    )
    assert cgroup("0::/a/b\n", a__cpu_max="nonsense", a__b__cpu_max="") == 8


def test_a_quota_of_the_first_version_counts(cgroup):
    files = {"cpu,cpuacct__cpu_cfs_quota_us": "200000\n", "cpu,cpuacct__cpu_cfs_period_us": "100000\n"}
    assert cgroup("4:memory:/x\n3:cpu,cpuacct:/docker/17\n", **files) == 2
    assert cgroup("3:cpu,cpuacct:/\n", **(files | {"cpu,cpuacct__cpu_cfs_quota_us": "-1\n"})) == 8


def test_no_more_threads_than_cpus(cgroup, monkeypatch):
    cgroup("0::/\n", cpu_max="200000 100000\n")
    monkeypatch.setenv("OMP_NUM_THREADS", "16")
    assert team.team_size() == 2


def test_who_spins_is_seen(monkeypatch):
    """A thread that does nothing but take its CPU, as a BLAS does for a while after its work."""
    if not machine.TASKS.exists():
        pytest.skip("only Linux says which threads run")
    from numba import njit

    @njit(nogil=True)
    def spin(stop):
        while team._arrived(stop) == 0:
            pass

    stop = np.ones(1, np.int64)
    spin(stop)
    stop[0] = 0
    before = machine.Running().others()
    thread = threading.Thread(target=spin, args=(stop,))
    thread.start()
    try:
        looks = [machine.Running().others() for _ in range(20)]
        assert max(looks) > before
        monkeypatch.setattr(starting, "size_for", lambda operations, alone=0: 2)
        monkeypatch.setattr(starting, "usable_cpus", lambda: 2)
        monkeypatch.setattr(starting, "_RUNNING", machine.Running())
        assert starting.size_that_meets(10**9) == 1
    finally:
        stop[0] = 1
        thread.join()


def test_a_look_holds_for_a_while(monkeypatch):
    looks = []
    monkeypatch.setattr(machine, "_tasks", lambda: looks.append(1) or ["1", "2"])
    monkeypatch.setattr(machine, "_runs", lambda task: True)
    clock = iter(range(0, 1000, 1))
    monkeypatch.setattr(machine.time, "perf_counter", lambda: next(clock))
    running = machine.Running()
    assert [running.others() for _ in range(5)] == [1] * 5
    assert len(looks) == 1


def test_turns_are_all_the_steps():
    assert list(starting.turns(10, 10**12)) == [1] * 10
    assert list(starting.turns(10, 1)) == [10]
    assert sum(starting.turns(12345, 10**6)) == 12345
    assert list(starting.turns(0, 5)) == []
