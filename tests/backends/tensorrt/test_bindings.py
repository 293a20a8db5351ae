"""Which TensorRT is taken, and what is said where there is none."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mmkg_sdk.backends.tensorrt import bindings
from mmkg_sdk.backends.tensorrt.bindings import Words, installed, load_bindings
from mmkg_sdk.errors import BackendError


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A place for packages of TensorRT, where there are none yet."""
    monkeypatch.setattr(bindings, "_loaded", {})
    monkeypatch.setattr(sys, "path", [str(tmp_path), *(path for path in sys.path if "site-packages" not in path)])
    for name in _modules():
        monkeypatch.delitem(sys.modules, name)
    yield tmp_path
    for name in _modules():  # those of the test; monkeypatch brings the others back
        del sys.modules[name]


def _modules() -> list[str]:
    return [name for name in sys.modules if name.partition(".")[0].startswith("tensorrt")]


def test_a_package_that_is_missing_is_named_with_its_command(packages: Path) -> None:
    assert installed() == []
    for flavour in (None, "tensorrt"):
        with pytest.raises(BackendError, match=r"needs tensorrt, .* pip install 'mmkg_sdk\[tensorrt\]'"):
            load_bindings(flavour)  # type: ignore[arg-type]
    with pytest.raises(BackendError, match="pip install tensorrt-rtx-cu13-bindings tensorrt-rtx-cu13-libs"):
        load_bindings("tensorrt-rtx")


def test_a_package_that_does_not_load_says_why(packages: Path) -> None:
    (packages / "tensorrt.py").write_text("raise ImportError('libnvinfer.so.11: cannot open shared object file')\n")
    with pytest.raises(BackendError, match=r"tensorrt is installed but does not load: libnvinfer.so.11"):
        load_bindings()


def test_tensorrt_is_taken_before_tensorrt_for_rtx_unless_that_is_named(packages: Path) -> None:
    """The modules are stand-ins that have what loading touches."""
    for name in ("tensorrt", "tensorrt_rtx"):
        (packages / f"{name}.py").write_text(
            f"__version__ = '1.2.3 {name}'\nclass ILogger:\n    ERROR, INTERNAL_ERROR = 1, 0\n"
        )
    assert installed() == ["tensorrt", "tensorrt-rtx"]
    found = load_bindings()
    assert (found.flavour, found.version, found.rtx) == ("tensorrt", "1.2.3 tensorrt", None)
    other = load_bindings("tensorrt-rtx")
    assert (other.version, other.rtx) == ("1.2.3 tensorrt_rtx", other.trt)


def test_the_logger_is_kept_and_takes_errors_only() -> None:
    rtx = pytest.importorskip("tensorrt_rtx_bindings", reason="TensorRT for RTX is not installed")
    found = load_bindings("tensorrt-rtx")
    assert found.logger is load_bindings("tensorrt-rtx").logger
    found.words.take()
    for severity, text in ((rtx.ILogger.WARNING, "be warned"), (rtx.ILogger.ERROR, "two\n lines")):
        found.logger.log(severity, text)  # type: ignore[attr-defined]
    assert found.words.take() == "two lines"
    assert found.words.take() == "the library gave no reason"


def test_old_words_are_dropped() -> None:
    words = Words()
    for number in range(100):
        words.add(str(number))
    assert words.take() == "; ".join(map(str, range(92, 100)))
