"""`import mmkg_sdk` is light, and errors name the way out."""

from __future__ import annotations

import subprocess
import sys

HEAVY = ("torch", "transformers", "onnx", "onnxruntime", "tensorrt", "sklearn", "PIL", "matplotlib", "pandas")


def test_import_loads_numpy_and_nothing_heavier() -> None:
    code = f"import sys, mmkg_sdk; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_export_and_bench_are_found_in_the_package() -> None:
    import mmkg_sdk.bench
    import mmkg_sdk.export

    assert mmkg_sdk.export.export_bundle.__module__.startswith("mmkg_sdk.export")
    assert mmkg_sdk.bench.__name__ == "mmkg_sdk.bench"


def test_a_missing_package_is_answered_with_the_command_that_installs_it() -> None:
    code = (
        "import sys; sys.modules['onnxruntime'] = None; import mmkg_sdk.errors as e\n"
        "from mmkg_sdk.backends.onnxruntime import OnnxRuntimeBackend\n"
        "try: OnnxRuntimeBackend.open(None, 'cpu', None)\n"
        "except e.BackendError as err: print(err)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'mmkg_sdk[cpu]'" in done.stdout
