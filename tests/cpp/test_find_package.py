"""find_package(mmkg) takes what fits, and says why where it does not."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from mmkg_sdk.kernels.cmake import cmake_dir
from mmkg_sdk.version import __version__
from tests.cli.running import mmkg
from tests.cpp.building import building_absence, cmake, find
from tests.places import ROOT

MAJOR, MINOR = (int(part) for part in __version__.split(".")[:2])

pytestmark = pytest.mark.skipif(building_absence() is not None, reason=str(building_absence()))


def test_env_prints_the_folder_and_nothing_else() -> None:
    printed = mmkg("env", "--cmake-dir").stdout
    assert printed == f"{cmake_dir()}\n"
    assert (Path(printed.strip()) / "mmkg-config.cmake").is_file()


@pytest.mark.parametrize("asked", ["", f" {__version__}", f" {MAJOR}.{MINOR}", " REQUIRED COMPONENTS kernels model"])
def test_what_is_there_is_found(asked: str, tmp_path: Path) -> None:
    call = f"find_package(mmkg{asked})\nmessage(STATUS found=${{mmkg_FOUND}})"
    assert "found=1" in find(tmp_path, call, f"mmkg_DIR={cmake_dir()}").replace("TRUE", "1")


@pytest.mark.parametrize("asked", [f"{MAJOR}.{MINOR + 1}", f"{MAJOR + 1}.0", f"{MAJOR}.{MINOR}.999"])
def test_another_version_is_refused(asked: str, tmp_path: Path) -> None:
    said = find(tmp_path, f"find_package(mmkg {asked} REQUIRED)", f"mmkg_DIR={cmake_dir()}", fails=True)
    assert f'requested version "{asked}"' in said
    assert f"version: {__version__}" in said


def test_an_unknown_component_is_refused(tmp_path: Path) -> None:
    said = find(tmp_path, "find_package(mmkg REQUIRED COMPONENTS cuda)", f"mmkg_DIR={cmake_dir()}", fails=True)
    assert "there is no mmkg::cuda in this installation; expected kernels or model" in said


def test_an_installation_without_compiled_libraries_says_so(tmp_path: Path) -> None:
    config = tmp_path / "cmake"
    config.mkdir()
    shutil.copy(cmake_dir() / "mmkg-config.cmake", config)
    said = find(tmp_path / "finds", "find_package(mmkg REQUIRED)", f"mmkg_DIR={config}", fails=True)
    assert "mmkg_sdk was installed without its compiled libraries; install a C++17 compiler" in said


@pytest.mark.parametrize(("asked", "fails"), [("ON", True), ("AUTO", False)])
def test_onnx_runtime_that_is_not_found_is_said(asked: str, fails: bool, tmp_path: Path) -> None:
    said = cmake("-S", ROOT, "-B", tmp_path, f"-DMMKG_ONNXRUNTIME={asked}", "-DMMKG_ONNXRUNTIME_DIR=", fails=fails)
    assert "onnxruntime_c_api.h was not found" in " ".join(said.split())


@pytest.mark.parametrize(("asked", "fails"), [("ON", True), ("AUTO", False)])
def test_tensorrt_that_is_not_found_is_said(asked: str, fails: bool, tmp_path: Path) -> None:
    said = cmake("-S", ROOT, "-B", tmp_path, f"-DMMKG_TENSORRT={asked}", "-DMMKG_TENSORRT_DIR=", fails=fails)
    assert "NvInferRuntime.h or cuda_runtime_api.h was not found" in " ".join(said.split())


def test_a_c_program_links_the_kernels(tmp_path: Path) -> None:
    (tmp_path / "program.c").write_text(
        "#include <mmkg.h>\n#include <stdio.h>\nint main(void) { puts(mmkg_instruction_set_name(0)); "
        "return !mmkg_abi_fits(); }\n"
    )
    lines = ["cmake_minimum_required(VERSION 3.21)", "project(program LANGUAGES C)", "find_package(mmkg REQUIRED)"]
    lines += ["add_executable(program program.c)", "target_link_libraries(program mmkg::kernels)"]
    (tmp_path / "CMakeLists.txt").write_text("\n".join(lines) + "\n")
    cmake("-S", tmp_path, "-B", tmp_path / "build", f"-Dmmkg_DIR={cmake_dir()}")
    cmake("--build", tmp_path / "build")
    done = subprocess.run([tmp_path / "build" / "program"], capture_output=True, text=True, check=True)
    assert done.stdout == "portable\n"
