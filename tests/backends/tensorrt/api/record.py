"""What the Python bindings of one TensorRT have, as JSON: for test_api.py, where the library cannot be installed.

The bindings link to libraries of some gigabytes, of which importing them calls nothing. Stand-ins without content are
compiled for them. Only names and signatures are read, from the docstrings that pybind11 makes.

usage: python -m tests.backends.tensorrt.api.record WHEEL [WHEEL...]
  WHEEL: tensorrt_cu13_bindings-VERSION-cp311-*.whl, for the Python that runs this
"""

from __future__ import annotations

import ctypes
import importlib.util
import json
import re
import subprocess
import sys
import tempfile
import zipfile
from importlib.machinery import ExtensionFileLoader
from inspect import getattr_static
from pathlib import Path
from typing import Any

from mmkg_sdk.backends.tensorrt import api

HERE = Path(__file__).parent
# What the bindings take from the libraries, of which loading them calls none.
_SYMBOLS = (
    *("createInferBuilder_INTERNAL", "createInferRefitter_INTERNAL", "createInferRuntime_INTERNAL"),
    *("createNvOnnxParserRefitter_INTERNAL", "createNvOnnxParser_INTERNAL", "getBuilderPluginRegistry"),
    *("getNvOnnxParserVersion", "getPluginRegistry", "initLibNvInferPlugins"),
)
_LIBRARIES = ("nvinfer", "nvinfer_plugin", "nvonnxparser")

# Class -> name -> parameters of each overload without self, or what else it is: "member", "property".
Described = dict[str, dict[str, Any]]


def class_names() -> list[str]:
    """The classes of the library that our protocols speak of."""
    rtx = {"RtxBuilderConfig": "IBuilderConfig", "RtxRuntime": "Runtime"}
    names = [name for name, value in vars(api).items() if getattr(value, "_is_protocol", False) and name != "Protocol"]
    return sorted({rtx.get(name, name) for name in names})


def described(module: Any) -> Described:
    """All public names of those classes, in the bindings of one TensorRT; classes that it lacks are left out."""
    found: Described = {}
    for name in class_names():
        # Severity lies within the logger; what the parser gives is in the module under another name.
        kind = module.ILogger.Severity if name == "Severity" else getattr(module, name, None)
        if kind is None:
            continue
        names = ["__init__", *(name for name in dir(kind) if not name.startswith("_"))]
        found[name] = {one: _described(kind, getattr_static(kind, one)) for one in names}
    return found


def _described(kind: type, value: Any) -> Any:
    if isinstance(value, property):
        return "property"
    if isinstance(value, type):
        return "class"
    if not callable(value) and not isinstance(value, staticmethod):
        return "member"
    lines = (value.__doc__ or "").splitlines()
    signatures = [line for line in lines if re.match(r"(\d+\. )?\w+\(self: ", line)]
    return [_parameters(line) for line in signatures]


def _parameters(signature: str) -> list[str]:
    """Names of parameters, without self; those with a default end in "=?"."""
    inside = signature[signature.index("(") + 1 : signature.rindex(") ->")]
    parts, depth = [""], 0
    for character in inside:
        depth += (character in "([{<") - (character in ")]}>")
        if character == "," and not depth:
            parts.append("")
        else:
            parts[-1] += character
    return [part.partition(":")[0].strip() + ("=?" if " = " in part else "") for part in parts][1:]


def loaded(wheel: Path, folder: Path) -> tuple[str, Any]:
    """Version and extension module of a wheel."""
    version = wheel.name.split("-")[1]
    major = version.partition(".")[0]
    source = folder / "stand_in.c"
    source.write_text("".join(f"void *{symbol}(void) {{ return 0; }}\n" for symbol in _SYMBOLS))
    for library in _LIBRARIES:
        out = folder / f"lib{library}.so.{major}"
        subprocess.run(["cc", "-shared", "-fPIC", f"-Wl,-soname,{out.name}", "-o", out, source], check=True)
        ctypes.CDLL(str(out), mode=ctypes.RTLD_GLOBAL)
    with zipfile.ZipFile(wheel) as archive:
        path = Path(archive.extract("tensorrt_bindings/tensorrt.so", folder))
    loader = ExtensionFileLoader("tensorrt", str(path))
    spec = importlib.util.spec_from_loader("tensorrt", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return version, module


def write(flavour: str, version: str, module: Any) -> None:
    """The JSON of one TensorRT, a line for each name."""
    content = described(module)
    lines = []
    for kind, names in content.items():
        inside = ",\n".join(f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in names.items())
        lines.append(f" {json.dumps(kind)}: {{\n{inside}\n }}")
    (HERE / f"{flavour}-{version}.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


def main() -> None:
    """Write the JSON of each wheel, each in a process of its own, and of TensorRT for RTX as it is installed."""
    wheels = sys.argv[1:]
    if len(wheels) == 1:
        with tempfile.TemporaryDirectory() as folder:
            write("tensorrt", *loaded(Path(wheels[0]), Path(folder)))
        return
    for wheel in wheels:
        subprocess.run([sys.executable, "-m", __spec__.name, wheel], check=True)
    import tensorrt_rtx_bindings

    write("tensorrt-rtx", tensorrt_rtx_bindings.__version__, tensorrt_rtx_bindings)


if __name__ == "__main__":
    main()
