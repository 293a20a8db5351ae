"""What we use of TensorRT is there in TensorRT 10, TensorRT 11 and TensorRT for RTX, with the parameters that we pass.

The code is held to the protocols of api.py by mypy, and the protocols are held here to what api/record.py has read out
of the bindings. So a name that a release lacks is found without the library and without a GPU.
"""

from __future__ import annotations

import ast
import inspect
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import mmkg_sdk.backends.tensorrt
from mmkg_sdk.backends.tensorrt import api, bindings

from .api.record import Described, described

RECORDED = sorted((Path(__file__).parent / "api").glob("*.json"))
# The protocols that speak of TensorRT for RTX only, and the classes that they are.
RTX_ONLY = {
    "RtxBuilderConfig": "IBuilderConfig",
    "RtxRuntime": "Runtime",
    "ComputeCapability": "ComputeCapability",
    "EngineValidity": "EngineValidity",
    "EngineInvalidityDiagnostics": "EngineInvalidityDiagnostics",
}
# The methods that the library calls, of classes that bindings.py and build.py derive from its own.
OVERRIDDEN = {
    "ILogger": {"log": ["severity", "msg"]},
    "IProgressMonitor": {
        "phase_start": ["phase_name", "parent_phase", "num_steps"],
        "step_complete": ["phase_name", "step"],
        "phase_finish": ["phase_name"],
    },
}


def protocols() -> Iterator[tuple[str, type]]:
    for name, value in vars(api).items():
        if inspect.isclass(value) and getattr(value, "_is_protocol", False) and value.__module__ == api.__name__:
            yield name, value


def declared(protocol: type) -> Iterator[tuple[str, list[str] | str]]:
    """Name, and its parameters or what else it is, as record.py says it."""
    for name, annotation in inspect.get_annotations(protocol).items():
        if not name.startswith("_"):
            yield name, "member" if annotation.startswith("ClassVar") else "property"
    for name, value in vars(protocol).items():
        if isinstance(value, property):
            yield name, "property"
        elif inspect.isfunction(value) and not name.startswith("_"):
            yield name, list(inspect.signature(value).parameters)[1:]


def takes(overloads: list[list[str]], given: list[str]) -> bool:
    """Whether some overload takes these parameters by place and by name, and needs no more."""
    return any(
        [name.removesuffix("=?") for name in overload[: len(given)]] == given
        and all(name.endswith("=?") for name in overload[len(given) :])
        for overload in overloads
    )


def missing(found: Described, kind: str, protocol: type) -> list[str]:
    """What a protocol declares and a class of the bindings has not."""
    if kind not in found:
        return [kind]
    wrong = []
    for name, value in declared(protocol):
        there = found[kind].get(name)
        fits = takes(there, value) if isinstance(value, list) and isinstance(there, list) else there == value
        if not fits:
            wrong.append(f"{kind}.{name}: {value}, there is {there}")
    return wrong


@pytest.fixture(params=RECORDED, ids=lambda path: path.stem)
def recorded(request: pytest.FixtureRequest) -> Any:
    path: Path = request.param
    return path.stem, json.loads(path.read_text())


def test_both_majors_and_both_flavours_are_recorded() -> None:
    names = [path.stem for path in RECORDED]
    assert [name.rpartition("-")[0] for name in names] == ["tensorrt", "tensorrt", "tensorrt-rtx"]
    assert [name.rpartition("-")[2].partition(".")[0] for name in names] == ["10", "11", "1"]


def test_every_name_that_we_use_is_there(recorded: tuple[str, Described]) -> None:
    name, found = recorded
    wrong = []
    for protocol_name, protocol in protocols():
        if protocol_name not in RTX_ONLY or name.startswith("tensorrt-rtx"):
            wrong += missing(found, RTX_ONLY.get(protocol_name, protocol_name), protocol)
    assert wrong == []


def test_the_module_has_the_classes_that_we_make(recorded: tuple[str, Described]) -> None:
    name, found = recorded
    modules = [bindings.TensorRt, *([bindings.TensorRtRtx] if name.startswith("tensorrt-rtx") else [])]
    made = {one: value for module in modules for one, value in vars(module).items() if inspect.isfunction(value)}
    makers = {one: list(inspect.signature(value).parameters)[1:] for one, value in made.items() if one[0] != "_"}
    assert sorted(makers) == ["Builder", "OnnxParser", "OnnxParserRefitter", "Refitter", "Runtime"]
    for kind, parameters in makers.items():
        assert takes(found[kind]["__init__"], parameters), kind
    for module in modules:
        for kind, annotation in inspect.get_annotations(module).items():
            assert kind == "__version__" or (annotation == f"type[api.{kind}]" and kind in found), kind


def test_the_library_calls_what_we_override(recorded: tuple[str, Described]) -> None:
    for kind, methods in OVERRIDDEN.items():
        for name, parameters in methods.items():
            assert recorded[1][kind][name] == [parameters]


def test_the_record_of_what_is_installed_is_what_is_installed() -> None:
    rtx = pytest.importorskip("tensorrt_rtx_bindings", reason="TensorRT for RTX is not installed")
    path = Path(__file__).parent / "api" / f"tensorrt-rtx-{rtx.__version__}.json"
    assert json.loads(path.read_text()) == described(rtx)


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        ("Builder", "build_serialized_network", ["network", "config", "speed"]),
        ("IBuilderConfig", "set_flag", ["flags"]),
        ("BuilderFlag", "FP16", "member"),  # which TensorRT 11 has no more
        ("ICudaEngine", "device_memory_size", "property"),
        ("IExecutionContext", "execute_async_v2", ["bindings", "stream_handle"]),
    ],
)
def test_a_name_or_parameter_that_is_not_there_is_found(kind: str, name: str, value: list[str] | str) -> None:
    newest = json.loads(RECORDED[1].read_text())
    body: dict[str, Any] = {"__annotations__": {name: "ClassVar[int]" if value == "member" else "int"}}
    if isinstance(value, list):
        body = {}
        exec(f"def {name}(self, {', '.join(value)}): pass", body)
        body.pop("__builtins__")
    assert len(missing(newest, kind, type(kind, (), body))) == 1


def test_no_object_of_the_library_escapes_the_types() -> None:
    """`Any` would take a name out of mypy's sight. It stands for elements of arrays and values of JSON only."""
    folder = Path(mmkg_sdk.backends.tensorrt.__file__).parent
    for path in sorted(folder.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            annotation = getattr(node, "annotation", None) or getattr(node, "returns", None)
            assert not (isinstance(annotation, ast.Name) and annotation.id == "Any"), f"{path.name}:{node.lineno}"  # type: ignore[attr-defined]
        if path.name in ("api.py", "bindings.py", "build.py", "engine.py"):
            assert "Any" not in path.read_text().split(), path.name
