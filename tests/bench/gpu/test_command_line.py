"""mmkg-sdk bench gpu: what it says where it cannot run."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mmkg_sdk.cli.bench.run import bench
from mmkg_sdk.errors import MmkgError


def asked(*arguments: str | Path) -> Result:
    return CliRunner().invoke(bench, ["gpu", *map(str, arguments)])


def test_help_says_that_it_never_ran_on_a_gpu() -> None:
    text = " ".join(asked("--help").output.split())
    assert "THIS COMMAND HAS NEVER RUN ON A GPU" in text
    for option in ("--backends", "--batches", "--token-counts", "--nvtx", "--no-transfers", "--json", "-k"):
        assert option in text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--device", "cpu"], "A CPU is measured by `mmkg-sdk bench run`"),
        (["--device", "gpu0"], "unknown device 'gpu0'"),
        (["--device", "cuda:0"], "NVIDIA's driver is not installed here"),
    ],
)
def test_a_device_that_it_does_not_measure_is_refused(
    arguments: list[str], said: str, golden_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MMKG_CUDA_DRIVER", str(tmp_path / "no-driver.so"))
    found = asked(golden_bundle, *arguments, "--out", tmp_path / "out")
    assert isinstance(found.exception, MmkgError)
    assert said in str(found.exception)
    assert not (tmp_path / "out").exists()


def test_ranges_without_their_package_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    from mmkg_sdk.bench.gpu.ranges import open_ranges

    monkeypatch.setitem(sys.modules, "nvtx", None)
    with pytest.raises(MmkgError, match="pip install nvtx"):
        open_ranges(asked=True)
    with open_ranges(asked=False)("a cell"):
        pass


@pytest.mark.parametrize("value", ["0", "a", "1,,2"])
def test_bad_batches_are_wrong_usage(value: str, golden_bundle: Path) -> None:
    assert asked(golden_bundle, f"--batches={value}").exit_code == 2
