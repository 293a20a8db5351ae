"""No command ends in a traceback, whatever it is given, whatever is not installed, wherever its output goes."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mmkg_sdk.data import write_dataset
from mmkg_sdk.run import Run
from tests.cli.walk import TEXT, Outcome, call, walk
from tests.data.folders import small_dataset
from tests.places import ROOT


def damaged(folder: Path, name: str, copy: Path) -> Path:
    """A copy of a folder with a file that ends in the middle."""
    shutil.copytree(folder, copy)
    (copy / name).write_bytes((folder / name).read_bytes()[: (folder / name).stat().st_size // 2])
    return copy


@pytest.fixture(scope="module")
def places(golden_run: Run, small_run: Run, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What a command can be given; each is right for some of them and wrong for the others."""
    base = tmp_path_factory.mktemp("places")
    released = ROOT / "tests" / "released" / "0.2.0"
    (base / "empty").mkdir()
    (base / "text.txt").write_text("some words\n")
    (base / "object.json").write_text('{"format_version": 1}')
    (base / "numbers.json").write_text("[1, 2]")
    write_dataset(small_dataset(), base / "graph")
    shutil.copytree(base / "graph", base / "Łódź")
    found = {
        "nothing": base / "gone",
        "empty folder": base / "empty",
        "text": base / "text.txt",
        "JSON object": base / "object.json",
        "JSON list": base / "numbers.json",
        "device": Path(os.devnull),
        "graph": base / "graph",
        "graph of another script": base / "Łódź",
        "run": golden_run.folder,
        "run of another task": small_run.folder,
        "bundle": released / "mygo",
        "bundle of mentions": released / "mimic",
        "bundle of relations": released / "mkgformer-relations",
        "bundle of tags": released / "mkgformer-tags",
        "damaged run": damaged(golden_run.folder, "weights.safetensors", base / "run"),
        "damaged run.json": damaged(golden_run.folder, "run.json", base / "run2"),
        "damaged bundle": damaged(released / "mygo", "bundle.json", base / "bundle"),
    }
    if hasattr(os, "mkfifo"):
        os.mkfifo(base / "pipe")
        found["pipe"] = base / "pipe"
    return found


PLACES = [
    *("nothing", "empty folder", "text", "JSON object", "JSON list", "device", "pipe"),
    *("graph", "graph of another script", "run", "run of another task", "damaged run", "damaged run.json"),
    *("bundle", "bundle of mentions", "bundle of relations", "bundle of tags", "damaged bundle"),
]


@pytest.mark.parametrize("place", PLACES)
def test_no_command_ends_in_a_traceback(places: dict[str, Path], place: str) -> None:
    if place not in places:
        pytest.skip("this system has no pipes as files")
    outcomes = list(walk(places[place]))
    assert len(outcomes) > 100
    wrong = [f"mmkg-sdk {' '.join(outcome.arguments)}\n{found}" for outcome in outcomes if (found := outcome.wrong())]
    assert not wrong, "\n\n".join(wrong)


def test_every_place_is_walked(places: dict[str, Path]) -> None:
    assert set(places) | {"pipe"} == set(PLACES)


# ---- encodings and pipes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "ascii", "utf-8"])
def test_what_an_encoding_lacks_is_escaped_and_json_stays_json(places: dict[str, Path], encoding: str) -> None:
    folder = places["graph of another script"]
    shown = call("data", "inspect", folder, encoding=encoding)
    assert not shown.wrong()
    assert ("Łódź" if encoding in ("ascii", "utf-8") else "\\u0141ód") in shown.out  # click writes UTF-8 for ASCII
    answer = call("data", "inspect", folder, "--json", encoding=encoding)
    assert json.loads(answer.out)["name"] == "Łódź"
    assert not [found for outcome in walk_errors(encoding) if (found := outcome.wrong())]


def walk_errors(encoding: str) -> list[Outcome]:
    """Errors that repeat what they were given."""
    return [call("data", "inspect", TEXT, *json, encoding=encoding) for json in ([], ["--json"])]


@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
def test_a_process_with_another_encoding_prints_a_label_of_another_script(
    places: dict[str, Path], encoding: str
) -> None:
    done = in_process("data", "inspect", places["graph of another script"], PYTHONIOENCODING=encoding)
    assert done.returncode == 0, done.stderr
    assert (b"\\u0141" if encoding == "latin-1" else "Łódź".encode()) in done.stdout


def in_process(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "mmkg_sdk", *map(str, arguments)]
    return subprocess.run(
        command, env=os.environ | {"PYTHONPATH": str(ROOT)} | environment, capture_output=True, timeout=60, check=False
    )


@pytest.mark.parametrize(
    "arguments", [("--help",), ("inspect", "--json"), ("data", "inspect", "gone")], ids=lambda words: " ".join(words)
)
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_reader_that_has_gone_is_no_traceback(
    arguments: tuple[str, ...], stream: str, places: dict[str, Path]
) -> None:
    words = [str(word) for word in (*arguments, *([places["bundle"]] if arguments[0] == "inspect" else []))]
    reader, writer = os.pipe()
    os.close(reader)
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | {stream: writer}
    child = subprocess.Popen([sys.executable, "-m", "mmkg_sdk", *words], cwd=ROOT, **streams)  # type: ignore[call-overload]
    os.close(writer)
    for seen in child.communicate(timeout=60):
        assert b"Traceback" not in (seen or b"")
        assert b"Exception ignored" not in (seen or b"")
    assert child.returncode in (0, 1)


# ---- signals -------------------------------------------------------------------------------------------------------

STRIKE = """
import os, runpy, sys
module, number = sys.argv[1], int(sys.argv[2])
class Strike:
    def find_spec(self, name, path=None, target=None):
        if name == module:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), number)
sys.meta_path.insert(0, Strike())
sys.argv = ["mmkg-sdk", *sys.argv[3:]]
runpy.run_module("mmkg_sdk", run_name="__main__")
"""


@pytest.mark.parametrize(
    ("module", "number"),
    [
        *((module, signal.SIGINT) for module in ("click", "numpy", "numpy._core.multiarray", "mmkg_sdk.cli.group")),
        *((module, signal.SIGINT) for module in ("mmkg_sdk.bundle.bundle", "mmkg_sdk.training.session", "torch")),
        ("numpy", signal.SIGTERM),
    ],
)
def test_a_signal_while_modules_are_imported_is_one_line(module: str, number: int, tmp_path: Path) -> None:
    command = [sys.executable, "-c", STRIKE, module, str(int(number))]
    command += ["train", "mygo", "--data", str(tmp_path / "gone"), "--out", str(tmp_path / "run")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr.strip()) == (1, "Interrupted.")


# ---- what is not installed -----------------------------------------------------------------------------------------

NEEDED = ("numpy", "numpy.libs", "click", "safetensors")


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a Python that finds what the package needs, and no extra."""
    site = tmp_path_factory.mktemp("site")
    spec = importlib.util.find_spec("numpy")
    assert spec is not None
    assert spec.origin is not None
    installed = Path(spec.origin).parent.parent
    for name in NEEDED:
        if (installed / name).exists():
            (site / name).symlink_to(installed / name)
    return os.environ | {"PYTHONPATH": os.pathsep.join((str(site), str(ROOT)))}


def without_extras(bare: dict[str, str], *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-S", *map(str, arguments)]
    return subprocess.run(command, env=bare, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


def test_without_extras_no_command_ends_in_a_traceback(bare: dict[str, str], places: dict[str, Path]) -> None:
    walked = [places[name] for name in ("nothing", "graph", "run", "bundle of mentions", "bundle")]
    done = without_extras(bare, "-m", "tests.cli.walk", *walked)
    assert done.returncode == 0, done.stderr
    outcomes = [Outcome(**fields) for fields in json.loads(done.stdout)]
    wrong = [f"mmkg-sdk {' '.join(outcome.arguments)}\n{found}" for outcome in outcomes if (found := outcome.wrong())]
    assert not wrong, "\n\n".join(wrong)
    advised = {word.arguments[0]: word.err for word in outcomes if "which is not installed. Run: pip" in word.err}
    extras = {"train": "train", "import": "train", "export": "train", "predict": "cpu", "link": "text", "verify": "cpu"}
    for command, extra in extras.items():
        assert f"pip install 'mmkg_sdk[{extra}]'" in advised[command]


def test_without_extras_the_quickstart_says_what_it_needs(bare: dict[str, str], tmp_path: Path) -> None:
    done = without_extras(bare, "-m", "mmkg_sdk", "quickstart", "--out", tmp_path / "out")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.endswith("which is not installed. Run: pip install 'mmkg_sdk[all]'\n")


LACKING: dict[str, Callable[[dict[str, Path], Path], list[str | Path]]] = {
    "tqdm": lambda at, out: ["train", "mygo", "--data", at["graph"], "--out", out],
    "threadpoolctl": lambda at, out: ["data", "tokenize", at["graph"], "--out", out],
    "PIL": lambda at, out: ["data", "tokenize", "atlas", "--out", out],
    "onnx": lambda at, out: ["export", at["run"], "--out", out],
    "onnxscript": lambda at, out: ["export", at["run"], "--out", out],
    "onnxruntime": lambda at, out: ["predict", at["bundle"], "--backend", "onnxruntime", "--relation=r", "--head=h"],
    "torch": lambda at, out: ["predict", at["bundle"], "--backend", "torch", "--relation=r", "--head=h"],
    "tokenizers": lambda at, out: ["link", at["bundle of mentions"], "--mention", "a"],
    "pyarrow": lambda at, out: ["predict", at["bundle"], "--input", at["text"], "--output", out],
}


@pytest.mark.parametrize("package", LACKING)
def test_each_package_that_is_missing_is_named_with_the_command_that_installs_it(
    package: str, places: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    outcome = call(*LACKING[package](places, tmp_path / "out"), "--json")
    assert outcome.code == 1, outcome
    error = json.loads(outcome.err.splitlines()[-1])["error"]
    assert error["type"] == "BackendError"
    name = {"threadpoolctl": "scikit-learn", "PIL": "pillow"}.get(package, package)
    assert f"needs {name}, which is not installed. Run: pip install 'mmkg_sdk[" in error["message"]
    assert not (tmp_path / "out" / "weights.safetensors").exists()


def test_a_package_that_is_there_and_does_not_load_is_named(bare: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError('libgone.so: cannot open', name='torch._C')")
    broken = bare | {"PYTHONPATH": os.pathsep.join((str(tmp_path), bare["PYTHONPATH"]))}
    done = without_extras(broken, "-m", "mmkg_sdk", "train", "mygo", "--data", "atlas", "--out", tmp_path / "out")
    assert done.returncode == 1
    expected = (
        "this command needs torch, which is installed but does not load: libgone.so: cannot open. Install it again."
    )
    assert done.stderr == f"Error: {expected}\n"
