"""Model repositories of Triton: config.pbtxt by the server's own definitions, and served by a real server."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmkg_sdk import Model
from mmkg_sdk.bundle import Bundle
from mmkg_sdk.errors import BundleError, ExportError
from mmkg_sdk.ranking.known_triples import Queries
from mmkg_sdk.serving.triton import export_triton
from mmkg_sdk.serving.triton.config import Placing
from tests.cli.walk import call
from tests.places import ROOT
from tests.serving.triton.server import ABSENT, has_server, running_server

MODELS = {
    "answers": "python",
    "complete": "onnxruntime",
    "complete_labels": "",
    "to_ids": "python",
    "to_labels": "python",
}
RELEASED = ROOT / "tests" / "released" / "0.2.0"


@pytest.fixture(scope="module")
def mygo() -> Path:
    return RELEASED / "mygo"


@pytest.fixture(scope="module")
def repository(mygo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("triton") / "models"
    assert export_triton(mygo, folder, Placing("KIND_CPU", 2, 500)) == sorted(MODELS)
    return folder


def config_of(folder: Path) -> Any:
    """config.pbtxt by the protobuf definitions that the server is built of."""
    from google.protobuf import text_format
    from tritonclient.grpc import model_config_pb2

    definitions: Any = model_config_pb2
    return text_format.Parse((folder / "config.pbtxt").read_text(), definitions.ModelConfig())


def test_the_definitions_of_the_server_take_all_configurations(repository: Path, mygo: Path) -> None:
    batch = Bundle.open(mygo).graphs["complete"].axes()["batch"]
    for name, backend in MODELS.items():
        config = config_of(repository / name)
        assert (config.name, config.backend, config.max_batch_size) == (name, backend, batch.max)
        assert config.version_policy.latest.num_versions == 1
        if name != "complete_labels":  # an ensemble runs nowhere itself
            (group,) = config.instance_group
            assert (group.kind, group.count) == (group.KIND_CPU, 2)
            assert config.dynamic_batching.max_queue_delay_microseconds == 500


def test_the_tensors_of_an_ensemble_fit_from_step_to_step(repository: Path) -> None:
    """By the configurations of its models: dtype and dims of each tensor, which is given before it is taken."""
    ensemble = config_of(repository / "complete_labels")
    assert ensemble.platform == "ensemble"
    known = {one.name: (one.data_type, list(one.dims)) for one in ensemble.input}
    for step in ensemble.ensemble_scheduling.step:
        model = config_of(repository / step.model_name)
        assert sorted(step.input_map) == sorted(one.name for one in model.input)
        for one in model.input:
            assert known[step.input_map[one.name]] == (one.data_type, list(one.dims))
        for one in model.output:
            name = step.output_map[one.name]
            assert name not in known
            known[name] = (one.data_type, list(one.dims))
    assert {one.name: (one.data_type, list(one.dims)) for one in ensemble.output}.items() <= known.items()
    assert [one.name for one in ensemble.output] == ["labels", "ids", "scores"]


def test_the_configuration_says_what_the_graph_takes(repository: Path) -> None:
    """Read from the ONNX file by onnx, not from our spec."""
    import onnx

    config = config_of(repository / "complete")
    graph = onnx.load(str(repository / "complete" / "1" / "model.onnx"), load_external_data=False).graph
    types = {"TYPE_INT64": onnx.TensorProto.INT64, "TYPE_FP32": onnx.TensorProto.FLOAT}
    for said, found in ((config.input, graph.input), (config.output, graph.output)):
        assert [one.name for one in said] == [one.name for one in found]
        for one, other in zip(said, found, strict=True):
            tensor = other.type.tensor_type
            assert types[type(config.input[0]).DESCRIPTOR.fields_by_name["data_type"].enum_type.values_by_number[
                one.data_type
            ].name] == tensor.elem_type  # fmt: skip
            dims = list(one.reshape.shape) if one.HasField("reshape") else list(one.dims)
            assert dims == [size.dim_value for size in tensor.shape.dim[1:]]
            assert tensor.shape.dim[0].dim_param
    names = [one.name for one in config.input]
    assert [sorted(warm.inputs) for warm in config.model_warmup] == [sorted(names)] * 2
    assert [warm.batch_size for warm in config.model_warmup] == [1, 256]


def test_onnx_runtime_answers_from_what_stands_in_the_repository(repository: Path, mygo: Path) -> None:
    """With the sizes of the warm-up, in a folder that holds nothing but the model: every weight is there."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(repository / "complete" / "1" / "model.onnx"))
    zeros = {one.name: np.zeros(256, np.int64) for one in session.get_inputs()}
    ids, scores = session.run(None, zeros)
    with Model.load(mygo) as model:
        zero = np.zeros(1, np.int64)
        (expected,) = model.predict_queries(Queries(zero, zero, zero), ids.shape[1], filter_known=False)
    np.testing.assert_allclose(scores[0], expected.scores, rtol=1e-5)
    assert ids[0].tolist() == expected.ids.tolist()


def test_what_has_no_queries_of_triples_is_refused(repository: Path, mygo: Path) -> None:
    with pytest.raises(BundleError, match=r"is for entity-linking; a model repository is made of"):
        export_triton(RELEASED / "mimic", repository.parent / "other")
    with pytest.raises(ExportError, match="not empty"):
        export_triton(mygo, repository)
    done = call("export-triton", mygo, "--out", repository)
    assert (done.code, done.out) == (1, "")


def test_the_command_writes_it_for_every_family_of_triples(tmp_path: Path) -> None:
    bundle = RELEASED / "adamf_mat"
    done = call("export-triton", bundle, "--out", tmp_path / "models", "--on", "gpu", "--json")
    assert done.code == 0, done.err
    config = config_of(tmp_path / "models" / "answers")
    assert config.parameters["device"].string_value == "cuda"
    links = RELEASED / "mkgformer-links"
    assert export_triton(links, tmp_path / "links") == ["answers"]


def test_a_plan_takes_the_place_of_the_graph(mygo: Path, tmp_path: Path) -> None:
    plan = tmp_path / "complete.engine"
    plan.write_bytes(b"ftrt" + bytes(60))
    done = call("export-triton", mygo, "--out", tmp_path / "models", "--plan", plan, "--on", "gpu")
    assert done.code == 0, done.err
    folder = tmp_path / "models" / "complete"
    assert [(one.name, one.read_bytes()) for one in (folder / "1").iterdir()] == [("model.plan", plan.read_bytes())]
    export_triton(mygo, tmp_path / "onnx", Placing("KIND_GPU"))
    config, of_onnx = config_of(folder), config_of(tmp_path / "onnx" / "complete")
    assert (config.backend, of_onnx.backend) == ("tensorrt", "onnxruntime")
    config.backend = of_onnx.backend
    assert config == of_onnx


def test_a_plan_that_cannot_be_served_is_refused(mygo: Path, tmp_path: Path) -> None:
    plan = tmp_path / "complete.engine"
    on_gpu = Placing("KIND_GPU")
    for content, message in ((None, "cannot read"), (b"", "is empty"), (b"vtrt" + bytes(60), "of TensorRT for RTX")):
        if content is not None:
            plan.write_bytes(content)
        with pytest.raises(ExportError, match=message):
            export_triton(mygo, tmp_path / "models", on_gpu, plan=plan)
    plan.write_bytes(b"ftrt" + bytes(60))
    with pytest.raises(ExportError, match="instances were to run on CPUs"):
        export_triton(mygo, tmp_path / "models", Placing("KIND_CPU"), plan=plan)
    with pytest.raises(ExportError, match=r"has no complete\.onnx"):
        export_triton(RELEASED / "mkgformer-links", tmp_path / "models", on_gpu, plan=plan)
    assert not (tmp_path / "models").exists()


# ---- a real server -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def address(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if not has_server():
        pytest.skip(ABSENT)
    folder = tmp_path_factory.mktemp("server")
    with running_server(repository, folder) as found:
        yield found
    log = (folder / "log").read_text(errors="replace")
    # `complete` is refused for the lack of its backend, and for nothing else: its configuration was taken before.
    (refused,) = [line for line in log.splitlines() if "failed to load 'complete'" in line and "E1" in line[:3]]
    assert "unable to find backend library for backend 'onnxruntime'" in refused


def asked(
    address: str,
    entities: list[str],
    relations: list[str],
    directions: list[str],
    k: int | None = None,
    model: str = "answers",
) -> dict[str, Any]:
    """What tritonclient gets for a batch of queries."""
    import tritonclient.grpc as client

    inputs = []
    for name, values in (("entity", entities), ("relation", relations), ("direction", directions)):
        tensor = client.InferInput(name, [len(values), 1], "BYTES")
        tensor.set_data_from_numpy(np.array(values, object).reshape(-1, 1))
        inputs.append(tensor)
    if k is not None:
        inputs.append(client.InferInput("k", [len(entities), 1], "INT32"))
        inputs[-1].set_data_from_numpy(np.full((len(entities), 1), k, np.int32))
    with client.InferenceServerClient(address) as server:
        result = server.infer(model, inputs, client_timeout=60)
    return {one.name: result.as_numpy(one.name) for one in result.get_response().outputs}


def test_the_server_answers_in_labels_as_the_bundle_does(address: str, mygo: Path) -> None:
    with Model.load(mygo) as model:
        entities = [model.entities[row] for row in range(6)]
        relations = [model.relations[row % 2] for row in range(6)]
        directions = ["tail", "head"] * 3
        for k in (None, 1, 5):
            found = asked(address, entities, relations, directions, k)
            for row, direction in enumerate(directions):
                if direction == "tail":
                    (expected,) = model.predict_tails(entities[row], relations[row], k or 10)
                else:
                    (expected,) = model.predict_heads(relations[row], entities[row], k or 10)
                count = int(found["count"][row, 0])
                assert [label.decode() for label in found["labels"][row, :count]] == list(expected.labels)
                assert found["ids"][row].tolist() == [*expected.ids.tolist(), *[-1] * (found["ids"].shape[1] - count)]
                assert found["scores"][row, :count].tobytes() == expected.scores.tobytes()


def test_what_cannot_be_answered_is_the_error_of_its_own_request(address: str, mygo: Path) -> None:
    from tritonclient.utils import InferenceServerException

    entity, relation = Bundle.open(mygo).entities[0], Bundle.open(mygo).relations[0]

    def ask(row: int) -> str:
        wrong = row % 2
        try:
            found = asked(address, ["no such entity" if wrong else entity], [relation], ["tail"], 3)
        except InferenceServerException as err:
            return str(err.message())
        return str(found["labels"][0, 0].decode())

    with ThreadPoolExecutor(8) as threads:
        said = list(threads.map(ask, range(64)))
    assert len(set(said[::2])) == 1
    assert all("no such entity" in text for text in said[1::2])
    for given in (["sideways"], ["tail"]):
        with pytest.raises(InferenceServerException, match=r"sideways|k "):
            asked(address, [entity], [relation], given, 0)


def test_the_server_reports_the_configuration_that_was_written(address: str, repository: Path) -> None:
    import tritonclient.grpc as client

    with client.InferenceServerClient(address) as server:
        config = server.get_model_config("answers").config
        assert server.is_model_ready("answers")
        assert not server.is_model_ready("complete")
    written = config_of(repository / "answers")
    assert [one.name for one in config.input] == [one.name for one in written.input]
    assert config.dynamic_batching.max_queue_delay_microseconds == 500
    assert config.instance_group[0].count == 2


def test_a_changed_bundle_is_not_served(repository: Path, tmp_path: Path) -> None:
    if not has_server():
        pytest.skip(ABSENT)
    shutil.copytree(repository / "answers", tmp_path / "models" / "answers")
    weights = tmp_path / "models" / "answers" / "1" / "bundle" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\0")
    import tritonclient.grpc as client

    with running_server(tmp_path / "models", tmp_path) as address, client.InferenceServerClient(address) as server:
        assert not server.is_model_ready("answers")
    assert "weights.safetensors was changed" in (tmp_path / "log").read_text(errors="replace")


# ---- the ensemble, with the same file of ONNX Runtime in another backend ---------------------------------------------

# In place of Triton's ONNX Runtime backend, which is not at hand: ONNX Runtime itself, on the file in the repository.
# It takes nothing but tensors of the batch alone, so the server has reshaped them as the configuration says.
_ON_PYTHON = """
from pathlib import Path

import onnxruntime
import triton_python_backend_utils as triton


class TritonPythonModel:
    def initialize(self, args):
        folder = Path(args["model_repository"]) / args["model_version"]
        self.session = onnxruntime.InferenceSession(str(folder / "model.onnx"))

    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        inputs = {one.name: triton.get_input_tensor_by_name(request, one.name) for one in self.session.get_inputs()}
        found = self.session.run(None, {name: one.as_numpy() for name, one in inputs.items()})
        names = [one.name for one in self.session.get_outputs()]
        return triton.InferenceResponse([triton.Tensor(*one) for one in zip(names, found)])
"""


@pytest.fixture(scope="module")
def with_onnx(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a server of the whole repository, in which one word of one configuration is another."""
    if not has_server():
        pytest.skip(ABSENT)
    folder = tmp_path_factory.mktemp("ensemble")
    shutil.copytree(repository, folder / "models")
    config = folder / "models" / "complete" / "config.pbtxt"
    assert config.read_text().count('backend: "onnxruntime"') == 1
    config.write_text(config.read_text().replace('backend: "onnxruntime"', 'backend: "python"'))
    (folder / "models" / "complete" / "1" / "model.py").write_text(_ON_PYTHON)
    with running_server(folder / "models", folder) as found:
        yield found


def test_the_ensemble_answers_in_labels_what_the_graph_answers_in_ids(with_onnx: str, mygo: Path) -> None:
    from tritonclient.utils import InferenceServerException

    with Model.load(mygo) as model:
        for count in (1, 7, 300):
            entities = [model.entities[row % len(model.entities)] for row in range(count)]
            relations = [model.relations[row % 2] for row in range(count)]
            directions = ["tail" if row % 3 else "head" for row in range(count)]
            found = asked(with_onnx, entities, relations, directions, model="complete_labels")
            assert sorted(found) == ["ids", "labels", "scores"]
            for row, direction in enumerate(directions):
                k = found["ids"].shape[1]
                if direction == "tail":
                    (expected,) = model.predict_tails(entities[row], relations[row], k, filter_known=False)
                else:
                    (expected,) = model.predict_heads(relations[row], entities[row], k, filter_known=False)
                assert [label.decode() for label in found["labels"][row]] == list(expected.labels)
                assert found["ids"][row].tolist() == expected.ids.tolist()
                np.testing.assert_allclose(found["scores"][row], expected.scores, rtol=1e-5)
        for wrong, message in (
            ((["nobody"], [model.relations[0]], ["tail"]), "unknown entity 'nobody'"),
            (([model.entities[0]], ["bornIn"], ["tail"]), "unknown relation 'bornIn'"),
            (([model.entities[0]], [model.relations[0]], ["sideways"]), "direction 'sideways' is unknown"),
        ):
            with pytest.raises(InferenceServerException, match=message):
                asked(with_onnx, *wrong, model="complete_labels")


def test_requests_that_meet_in_the_ensemble_get_their_own_answers(with_onnx: str, mygo: Path) -> None:
    with Model.load(mygo) as model:
        names, relation = list(model.entities), model.relations[0]
        expected = [list(one.labels) for one in model.predict_tails(names, relation, len(names), filter_known=False)]
    with ThreadPoolExecutor(16) as threads:
        found = threads.map(
            lambda row: asked(with_onnx, [names[row]], [relation], ["tail"], model="complete_labels"),
            [row % len(names) for row in range(96)],
        )
        for row, answer in enumerate(found):
            assert [label.decode() for label in answer["labels"][0]] == expected[row % len(names)]
