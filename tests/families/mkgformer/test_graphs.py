"""The exported graphs against the authors' outputs and the model in float64, as torch modules and as ONNX files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from mmkg_sdk.bundle import tracing
from mmkg_sdk.bundle.graph_specs import Axis, GraphSpec, TensorSpec
from mmkg_sdk.families.mkgformer.graphs import DTYPES, graph_modules, graph_specs, load_modules, question_graph
from mmkg_sdk.families.mkgformer.model import build_model
from mmkg_sdk.families.mkgformer.sentences.crf import viterbi
from tests.families.mkgformer.cases import CASES, Case, close, golden

# One of each task is small enough to be traced in a test.
TRACED = ["lp_pretrain_small", "mre_small", "mner_small"]
Arrays = dict[str, np.ndarray]


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return golden(request.param)


@pytest.fixture(scope="module")
def onnx_files(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], dict[str, Path]]:
    """The traced graphs of a case in a precision, by graph name; each is traced when first asked for."""
    made: dict[tuple[str, str], dict[str, Path]] = {}

    def files(name: str, precision: str = "fp32") -> dict[str, Path]:
        if (name, precision) not in made:
            folder, model = tmp_path_factory.mktemp("onnx"), golden(name).model().double()  # as for a bundle
            specs = graph_specs(model.config)
            made[name, precision] = {}
            for graph, module in graph_modules(model, DTYPES[precision]).items():
                made[name, precision][graph] = folder / specs[graph].file_name
                content = tracing.trace_graph(module, specs[graph]).SerializeToString()
                made[name, precision][graph].write_bytes(content)
        return made[name, precision]

    return files


def image_inputs(case: Case) -> Arrays:
    names = ("aux_values", "rcnn_values", *(("pixel_values",) if "label" in case.inputs else ()))
    return {name: case.inputs[name] for name in names}


def question_inputs(case: Case, state: np.ndarray) -> Arrays:
    names = [name for name in ("input_ids", "attention_mask", "token_type_ids") if name in case.inputs]
    inputs = {name: case.inputs[name] for name in names} | {"image_state": state}
    if "mask_positions" in case.outputs:
        inputs["mask_position"] = case.outputs["mask_positions"]
    if "head_index" in case.outputs:
        inputs["marker_positions"] = np.stack([case.outputs["head_index"], case.outputs["tail_index"]], axis=1)
    return inputs


def run_module(module: nn.Module, inputs: Arrays) -> list[np.ndarray]:
    """By name, as the torch backend calls it."""
    with torch.inference_mode():
        found = module(**{name: torch.as_tensor(array) for name, array in inputs.items()})
    return [part.numpy() for part in (found if isinstance(found, tuple) else (found,))]


def run_onnx(path: Path, inputs: Arrays) -> list[np.ndarray]:
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, inputs)  # type: ignore[no-any-return]


def check_outputs(case: Case, model: Any, outputs: list[np.ndarray], **tolerance: float) -> None:
    """Against the golden ones, whatever the task."""
    tolerance = tolerance or {"rtol": 1e-5, "atol": 1e-4}
    if "mask_entity_logits" in case.outputs:
        assert (outputs[0][:, -1] == 1).all()
        scores = outputs[0] @ model.entity_table().detach().numpy().T
        np.testing.assert_allclose(scores, case.outputs["mask_entity_logits"], **tolerance)
    elif "predictions" in case.outputs:
        np.testing.assert_allclose(outputs[0], case.outputs["logits"], **tolerance)
    else:
        np.testing.assert_array_equal(outputs[0], case.outputs["decoded_tags"])
        np.testing.assert_allclose(outputs[1], case.outputs["emissions"], **tolerance)


def test_modules_give_the_official_outputs(case: Case) -> None:
    model = case.model()
    modules = graph_modules(model, torch.float32)
    (state,) = run_module(modules["image_encoder"], image_inputs(case))
    close(torch.as_tensor(state), case.outputs["vision_hidden_states"][model.config.fusion_start_layer])
    check_outputs(case, model, run_module(modules[question_graph(model.config)], question_inputs(case, state)))


def test_modules_are_as_near_to_float64_as_the_plain_model(case: Case) -> None:
    model = case.model()

    def answers(model: Any) -> torch.Tensor:
        ask = getattr(model, "query_vectors", model)
        with torch.inference_mode():
            return ask(case.texts, case.images).double()  # type: ignore[no-any-return]

    modules = graph_modules(model, torch.float32)
    (state,) = run_module(modules["image_encoder"], image_inputs(case))
    found = run_module(modules[question_graph(model.config)], question_inputs(case, state))[-1]
    plain, exact = answers(model), answers(model.double())
    error, plain_error = (torch.as_tensor(found) - exact).abs().max(), (plain - exact).abs().max()
    assert error <= 3 * plain_error + 1e-6


@pytest.mark.parametrize(("precision", "atol"), [("fp16", 0.01), ("bf16", 0.06)])
def test_half_precision_comes_near_and_rounds_multiplied_weights_only(case: Case, precision: str, atol: float) -> None:
    model = case.model()
    modules = graph_modules(model, DTYPES[precision])
    (state,) = run_module(modules["image_encoder"], image_inputs(case))
    *_, found = run_module(modules[question_graph(model.config)], question_inputs(case, state))
    exact = graph_modules(model, torch.float32)[question_graph(model.config)]
    *_, expected = run_module(exact, question_inputs(case, state))
    assert found.dtype == np.float32
    assert np.abs(found - expected).max() < atol * np.abs(expected).max()
    for module in modules.values():
        for name, weight in module.state_dict().items():
            assert (weight.dtype == DTYPES[precision]) == name.split(".")[-1].startswith("multiplied_"), name


@pytest.mark.parametrize("name", TRACED)
def test_onnx_runtime_gives_the_official_outputs(name: str, onnx_files: Callable[..., dict[str, Path]]) -> None:
    case, files = golden(name), onnx_files(name)
    model = case.model()
    (state,) = run_onnx(files["image_encoder"], image_inputs(case))
    np.testing.assert_allclose(
        state, case.outputs["vision_hidden_states"][model.config.fusion_start_layer], rtol=1e-5, atol=1e-4
    )
    inputs = question_inputs(case, state)
    outputs = run_onnx(files[question_graph(model.config)], inputs)
    check_outputs(case, model, outputs)
    # Another number of rows than traced: the first question alone.
    for alone, among in zip(
        run_onnx(files[question_graph(model.config)], {n: a[:1] for n, a in inputs.items()}), outputs, strict=True
    ):
        np.testing.assert_allclose(alone, among[:1], rtol=1e-5, atol=1e-5)


def test_link_prediction_takes_texts_of_any_length(onnx_files: Callable[..., dict[str, Path]]) -> None:
    case = golden("lp_pretrain_small")
    model, files = case.model(), onnx_files("lp_pretrain_small")
    (state,) = run_onnx(files["image_encoder"], image_inputs(case))
    inputs = question_inputs(case, state)
    length = int(case.outputs["mask_positions"].max()) + 2
    cut = {name: a[:, :length] if name in ("input_ids", "attention_mask") else a for name, a in inputs.items()}
    (found,) = run_onnx(files["query_encoder"], cut)
    texts = case.texts._replace(input_ids=case.texts.input_ids[:, :length])
    texts = texts._replace(attention_mask=case.texts.attention_mask[:, :length])
    close(model.query_vectors(texts, case.images), found)


@pytest.mark.parametrize("graph", ["image_encoder", "relation_encoder"])
def test_onnx_runtime_takes_half_precision_weights(graph: str, onnx_files: Callable[..., dict[str, Path]]) -> None:
    case = golden("mre_small")
    inputs = image_inputs(case)
    if graph == "relation_encoder":
        inputs = question_inputs(case, case.outputs["vision_hidden_states"][1])
    (found,) = run_onnx(onnx_files("mre_small", "fp16")[graph], inputs)
    (expected,) = run_module(graph_modules(case.model(), torch.float16)[graph], inputs)
    np.testing.assert_allclose(found, expected, rtol=0.02, atol=0.02)


def test_the_last_layer_gives_the_same_at_any_position() -> None:
    case = golden("mre_small")
    model = case.model()
    towers = graph_modules(model, torch.float32)["relation_encoder"].get_submodule("towers")
    state = torch.as_tensor(case.outputs["vision_hidden_states"][1])
    positions = torch.tensor([[17, 0, 3], [4, 4, 9]])
    found = towers(*case.texts, state, positions)
    everywhere = towers(*case.texts, state)
    close(everywhere, case.outputs["last_hidden_state"])
    torch.testing.assert_close(found, torch.stack([row[at] for row, at in zip(everywhere, positions, strict=True)]))


def test_masking_the_prefix_is_exported_when_it_is_configured() -> None:
    case = golden("mner_small")
    model = case.model(mask_prefix=True)
    modules = graph_modules(model, torch.float32)
    (state,) = run_module(modules["image_encoder"], image_inputs(case))
    _, emissions = run_module(modules["tag_encoder"], question_inputs(case, state))
    close(model(case.texts, case.images), emissions)
    assert np.abs(emissions - case.outputs["emissions"]).max() > 1e-3


def test_an_absent_image_group_is_an_input_of_no_images(tmp_path: Path) -> None:
    case = golden("mre_small")
    model = case.model(num_aux_images=None)
    spec = graph_specs(model.config)["image_encoder"]
    assert spec.inputs[0].sizes("typical") == (16, 0, 3, 32, 32)
    assert spec.outputs[0].sizes("typical") == (16, 13, 48)
    module = graph_modules(model, torch.float32)["image_encoder"]
    inputs = image_inputs(case) | {"aux_values": case.inputs["aux_values"][:, :0]}
    (found,) = run_module(module, inputs)
    _, vision = model.encoder.embed(case.texts, case.images._replace(aux=None))
    close(model.encoder.encoder.vision_layers[0](vision), found)
    (tmp_path / "graph.onnx").write_bytes(tracing.trace_graph(module, spec).SerializeToString())
    np.testing.assert_allclose(run_onnx(tmp_path / "graph.onnx", inputs)[0], found, rtol=1e-5, atol=1e-5)


def test_signatures_name_what_the_modules_take_and_give(case: Case) -> None:
    config = case.model().config
    specs = graph_specs(config)
    assert list(specs) == ["image_encoder", question_graph(config)]
    (state,) = specs["image_encoder"].outputs
    inputs = {tensor.name: tensor for tensor in specs[question_graph(config)].inputs}
    assert inputs["image_state"].shape[1:] == state.shape[1:] == (config.visual_tokens, config.hidden_dim)
    length = inputs["input_ids"].shape[1]
    free = config.task == "link-prediction"
    assert length == (Axis("text_tokens", 1, config.max_length, config.max_length) if free else config.max_length)


@pytest.mark.parametrize("name", TRACED)
def test_modules_come_back_from_their_weights(name: str) -> None:
    case = golden(name)
    model = case.model()
    modules = graph_modules(model, torch.float16)
    weights = {f"{graph}.{key}": w for graph, module in modules.items() for key, w in module.state_dict().items()}
    loaded = load_modules(model.config, "fp16", weights)
    inputs = image_inputs(case)
    np.testing.assert_array_equal(
        run_module(loaded["image_encoder"], inputs)[0], run_module(modules["image_encoder"], inputs)[0]
    )
    question = question_graph(model.config)
    inputs = question_inputs(case, case.outputs["vision_hidden_states"][model.config.fusion_start_layer])
    for found, expected in zip(
        run_module(loaded[question], inputs), run_module(modules[question], inputs), strict=True
    ):
        np.testing.assert_array_equal(found, expected)
    with pytest.raises(RuntimeError, match=r"size mismatch for .*text_layers\.0\.hidden"):
        load_modules(replace(model.config, text_feedforward_dim=2**20), "fp16", weights)
    del weights[f"{question}.towers.vision_layers.0.norm1.weight"]
    with pytest.raises(RuntimeError, match=r"Missing key.*towers\.vision_layers\.0\.norm1\.weight"):
        load_modules(model.config, "fp16", weights)


def test_a_model_that_fuses_nothing_has_all_of_its_vision_layers_in_the_image_encoder() -> None:
    case = golden("mre_small")
    model = build_model(case.model(fusion_start_layer=5).config).eval()
    modules = graph_modules(model, torch.float32)
    (state,) = run_module(modules["image_encoder"], image_inputs(case))
    (found,) = run_module(modules["relation_encoder"], question_inputs(case, state))
    close(model(case.texts, case.images), found)


class Decoder(nn.Module):
    """Viterbi alone, as the tag encoder calls it."""

    def __init__(self, tags: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.start, self.end, self.transitions = (
            nn.Buffer(torch.randint(0, 2, size, generator=generator).float())
            for size in ((tags,), (tags,), (tags, tags))
        )

    def forward(self, emissions: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return viterbi(emissions, mask, self.start, self.transitions, self.end)


def textbook_tags(decoder: Decoder, emissions: np.ndarray, length: int) -> list[int]:
    """Viterbi as textbooks have it, one sentence, the first of equals everywhere."""
    start, end, transitions = (part.numpy() for part in (decoder.start, decoder.end, decoder.transitions))
    scores, pointers = start + emissions[0], []
    for emission in emissions[1:length]:
        arrivals = scores[:, None] + transitions + emission
        pointers.append(arrivals.argmax(axis=0))
        scores = arrivals.max(axis=0)
    tags = [int((scores + end).argmax())]
    for pointer in reversed(pointers):
        tags.append(int(pointer[tags[-1]]))
    return [*reversed(tags), *[-1] * (len(emissions) - length)]


def test_exported_viterbi_takes_the_first_of_equal_sequences(tmp_path: Path) -> None:
    decoder, batch = Decoder(4), Axis("batch", 1, 4, 64)
    # Small whole numbers: nearly every comparison is a tie.
    emissions = np.random.default_rng(0).integers(0, 2, (40, 9, 4)).astype(np.float32)
    lengths = np.arange(40) % 9 + 1
    mask = (np.arange(9) < lengths[:, None]).astype(np.int64)
    inputs = (TensorSpec("emissions", "float32", (batch, 9, 4)), TensorSpec("mask", "int64", (batch, 9)))
    spec = GraphSpec("decoder", inputs, (TensorSpec("tags", "int64", (batch, 9)),))
    path = tmp_path / "decoder.onnx"
    path.write_bytes(tracing.trace_graph(decoder, spec).SerializeToString())
    expected = [textbook_tags(decoder, row, length) for row, length in zip(emissions, lengths, strict=True)]
    arrays = {"emissions": emissions, "mask": mask}
    np.testing.assert_array_equal(run_onnx(path, arrays)[0], expected)
    np.testing.assert_array_equal(run_module(decoder, arrays)[0], expected)
