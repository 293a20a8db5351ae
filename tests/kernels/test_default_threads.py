"""How many threads run where nobody says: the variable, the affinity, and quotas of pretended control groups."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mmkg_sdk.kernels import default_threads
from mmkg_sdk.kernels.threads import MAX_THREADS, chosen_threads, cpu_quota, usable_cores

V2 = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate"
V1 = "32 31 0:29 {} /sys/fs/cgroup/cpu,cpuacct rw,nosuid - cgroup cgroup rw,cpu,cpuacct"
OTHERS = "21 1 8:1 / / rw - ext4 /dev/root rw\n33 31 0:30 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory"


@pytest.fixture(autouse=True)
def _nothing_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("mmkg_sdk.kernels.threads.usable_cores", lambda: 8)


def pretend(root: Path, groups: str, mounts: str, **limits: str) -> Path:
    """A tree with /proc/self and control groups; limits: a folder below /sys/fs/cgroup, with __ for / -> cpu.max, or
    quota and period of version 1 with a comma between."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(groups)
    (root / "proc/self/mountinfo").write_text(f"{OTHERS}\n{mounts}\n")
    for name, limit in limits.items():
        folder = root / "sys/fs/cgroup" / name.replace("__", "/").replace("cpu/", "cpu,cpuacct/").strip("/")
        folder.mkdir(parents=True, exist_ok=True)
        if "," in limit:
            quota, period = limit.split(",")
            (folder / "cpu.cfs_quota_us").write_text(f"{quota}\n")
            (folder / "cpu.cfs_period_us").write_text(f"{period}\n")
        else:
            (folder / "cpu.max").write_text(f"{limit}\n")
    return root


def test_without_limits_every_usable_core_counts(tmp_path: Path) -> None:
    chosen = chosen_threads(pretend(tmp_path, "0::/\n", V2))
    assert (chosen.count, chosen.reason) == (8, f"the process may run on 8 of {os.cpu_count()} cores")


def test_a_quota_of_version_2_is_rounded_down_to_whole_cpus(tmp_path: Path) -> None:
    chosen = chosen_threads(pretend(tmp_path, "0::/\n", V2, __="350000 100000"))
    assert (chosen.count, chosen.reason) == (3, "the control group grants 3.5 of 8 usable cores")


def test_less_than_one_cpu_is_one_thread(tmp_path: Path) -> None:
    assert chosen_threads(pretend(tmp_path, "0::/\n", V2, __="20000 100000")).count == 1


def test_a_quota_above_the_cores_grants_no_more_than_these(tmp_path: Path) -> None:
    assert chosen_threads(pretend(tmp_path, "0::/\n", V2, __="3200000 100000")).count == 8


def test_groups_above_limit_as_well(tmp_path: Path) -> None:
    root = pretend(
        tmp_path, "0::/a/b/c\n", V2, a="200000 100000", a__b="max 100000", a__b__c="400000 100000", other="10000 100000"
    )
    assert cpu_quota(root) == 2.0


@pytest.mark.parametrize("shown", ["/", "/docker/0123"], ids=["whole hierarchy", "only the container's"])
def test_a_quota_of_version_1_is_found_wherever_it_is_mounted(shown: str, tmp_path: Path) -> None:
    groups = "12:memory:/docker/0123\n4:cpu,cpuacct:/docker/0123\n0::/\n"
    place = "cpu__docker__0123" if shown == "/" else "cpu__"
    assert cpu_quota(pretend(tmp_path, groups, V1.format(shown), **{place: "150000,100000"})) == 1.5


def test_a_group_that_no_mount_shows_leaves_what_is_mounted(tmp_path: Path) -> None:
    assert cpu_quota(pretend(tmp_path, "0::/../elsewhere\n", V2, __="500000 100000")) == 5.0


@pytest.mark.parametrize("limit", ["max 100000", "-1,100000", "0,0", "nonsense", "100000 0"])
def test_what_is_no_limit_limits_nothing(limit: str, tmp_path: Path) -> None:
    version_1 = "," in limit
    groups, mounts = ("4:cpu,cpuacct:/\n", V1.format("/")) if version_1 else ("0::/\n", V2)
    assert cpu_quota(pretend(tmp_path, groups, mounts, **{"cpu__" if version_1 else "__": limit})) is None


def test_a_system_without_control_groups_has_no_quota(tmp_path: Path) -> None:
    assert cpu_quota(tmp_path) is None


@pytest.mark.parametrize(("value", "count"), [("3", 3), ("5,2", 5), (" 4 ", 4), ("1000000", MAX_THREADS)])
def test_the_variable_comes_before_cores_and_quotas(
    value: str, count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    chosen = chosen_threads(pretend(tmp_path, "0::/\n", V2, __="200000 100000"))
    assert (chosen.count, chosen.reason) == (count, f"OMP_NUM_THREADS is {value}")


@pytest.mark.parametrize("value", ["0", "-2", "many", "1.5", ",4"])
def test_a_variable_that_is_no_number_is_passed_over_with_a_warning(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    with pytest.warns(UserWarning, match=f"OMP_NUM_THREADS is '{value}'; expected a whole number of at least 1"):
        assert default_threads() >= 1


def test_an_empty_variable_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "")
    assert "OMP" not in chosen_threads().reason


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinity")
def test_the_affinity_of_the_process_counts() -> None:
    code = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "from mmkg_sdk.kernels.threads import chosen_threads; print(chosen_threads())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("ChosenThreads(count=1, reason='the process may run on 1 of ")


def test_usable_cores_are_some_of_all() -> None:
    assert 1 <= usable_cores() <= (os.cpu_count() or 1)
