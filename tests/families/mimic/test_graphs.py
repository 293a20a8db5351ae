"""The exported graphs against the outputs of the authors' code, and against the plain model in float64."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from mmkg_sdk.bundle.graph_specs import GraphSpec
from mmkg_sdk.families.mimic.config import MimicConfig
from mmkg_sdk.families.mimic.graphs import DTYPES, graph_modules, graph_specs, load_modules
from mmkg_sdk.families.mimic.model import Encoded, Mimic
from mmkg_sdk.families.mimic.pieces import entity_pieces, mention_pieces
from tests.families.mimic.cases import CASES, SIDES, Case, close, golden, ranks
from tests.families.mimic.small import TINY

GRAPHS = ("text_encoder", "image_encoder", "mention_side", "entity_side", "interaction")
SCORES = ("text_scores", "image_scores", "image_text_scores")
Arrays = dict[str, np.ndarray]

# The matcher of the published size behind towers of one layer.
PUBLISHED = MimicConfig(vocabulary_size=50, num_text_layers=1, num_image_layers=1)


@dataclass(frozen=True)
class Graph:
    """An exported graph in ONNX Runtime on one thread."""

    file: Path
    session: Any

    def __call__(self, inputs: Arrays) -> Arrays:
        named = {tensor.name: inputs[tensor.name] for tensor in self.session.get_inputs()}
        names = [tensor.name for tensor in self.session.get_outputs()]
        return dict(zip(names, self.session.run(names, named), strict=True))


class Graphs:
    """The graphs of the golden cases, each exported when first asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.made: dict[tuple[str, ...], Graph] = {}

    def __call__(self, case: str, graph: str, precision: str = "fp32", stored: str = "float32") -> Graph:
        key = (case, graph, precision, stored)
        if key not in self.made:
            model = golden(case).model().double()  # as for a bundle
            module = graph_modules(model, DTYPES[precision])[graph]
            self.made[key] = export(
                module, graph_specs(replace(model.config, entity_dtype=stored))[graph], self.folder / "-".join(key)
            )
        return self.made[key]


def export(module: nn.Module, spec: GraphSpec, file: Path) -> Graph:
    import onnx
    import onnxruntime

    from mmkg_sdk.bundle import tracing

    onnx.save(tracing.trace_graph(module, spec), file)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return Graph(file, onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"]))


@pytest.fixture(scope="module")
def graphs(tmp_path_factory: pytest.TempPathFactory) -> Graphs:
    return Graphs(tmp_path_factory.mktemp("graphs"))


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return golden(request.param)


def encode(graphs: Graphs, case: Case, side: str, precision: str = "fp32") -> Arrays:
    inputs = {name: case.inputs[f"{side}_{name}"] for name in ("input_ids", "attention_mask", "pixel_values")}
    towers = (graphs(case.folder.name, f"{tower}_encoder", precision)(inputs) for tower in ("text", "image"))
    return {name: array for outputs in towers for name, array in outputs.items()}


def pieces(graphs: Graphs, case: Case, side: str, precision: str = "fp32") -> Arrays:
    return graphs(case.folder.name, f"{side}_side")(encode(graphs, case, side, precision))


@pytest.mark.parametrize("side", SIDES)
def test_the_encoders_give_the_official_outputs(case: Case, side: str, graphs: Graphs) -> None:
    found = encode(graphs, case, side)
    close(found["text_embeds"], case.outputs[f"{side}_text_embeds"])
    close(found["text_tokens"], case.outputs[f"{side}_text_seq_tokens"])
    close(found["image_embeds"], case.outputs[f"{side}_image_embeds"])
    close(found["image_tokens"], case.outputs[f"{side}_image_patch_tokens"])


def test_the_interaction_gives_the_official_scores_and_ranks(case: Case, graphs: Graphs) -> None:
    mentions, entities = (pieces(graphs, case, side) for side in SIDES)
    found = graphs(case.folder.name, "interaction")(mentions | entities)
    for name, unit in zip(SCORES, ("tglu", "vdlu", "cmfu"), strict=True):
        close(found[name], case.outputs[f"{unit}_score"])
    overall = np.mean([found[name] for name in SCORES], axis=0)
    close(overall, case.outputs["scores"])
    np.testing.assert_array_equal(ranks(overall), case.outputs["all_ranks"])


@pytest.mark.parametrize("chunk", [1, 2])
def test_chunks_of_candidates_have_the_scores_of_all_at_once(chunk: int, graphs: Graphs) -> None:
    case, interaction = golden("base"), graphs("base", "interaction")
    mentions, entities = (pieces(graphs, case, side) for side in SIDES)
    expected = interaction(mentions | entities)
    for first in range(0, 7, chunk):
        part = {name: array[first : first + chunk] for name, array in entities.items()}
        for row in range(4):
            mention = {name: array[row : row + 1] for name, array in mentions.items()}
            found = interaction(mention | part)
            for name in SCORES:
                close(found[name], expected[name][row : row + 1, first : first + chunk])


def plain_scores(model: Mimic, case: Case, dtype: torch.dtype) -> list[np.ndarray]:
    model = model.to(dtype)
    with torch.no_grad():
        sides = [case.encoder_inputs(side) for side in SIDES]
        encoded = [model.encoder(ids, mask, pixels.to(dtype)) for ids, mask, pixels in sides]
        return [part.numpy() for part in model.matcher(*encoded)[1:]]


def test_the_graphs_are_as_close_to_float64_as_the_plain_model_in_float32(case: Case, graphs: Graphs) -> None:
    model = case.model()
    plain = plain_scores(model, case, torch.float32)
    exact = plain_scores(model, case, torch.float64)
    both = pieces(graphs, case, "mention") | pieces(graphs, case, "entity")
    found = graphs(case.folder.name, "interaction")(both)
    for name, reference, float32 in zip(SCORES, exact, plain, strict=True):
        own = np.abs(found[name] - reference).max()
        assert own <= 2 * np.abs(float32 - reference).max() + 1e-6, name


def random_sides(config: MimicConfig, counts: tuple[int, int], seed: int = 0) -> list[Encoded]:
    torch.manual_seed(seed)
    return [
        Encoded(
            torch.nn.functional.normalize(torch.randn(count, config.text_width), dim=-1),
            torch.randn(count, config.image_feature_dim),
            torch.randn(count, config.text_length, config.text_width),
            torch.randn(count, config.num_image_tokens, config.image_feature_dim),
        )
        for count in counts
    ]


def shaken(config: MimicConfig) -> Mimic:
    """A model whose norms and biases are not those of the initialisation, and whose scores are far apart."""
    torch.manual_seed(5)
    model = Mimic(config).eval().requires_grad_(False)
    for weight in model.matcher.parameters():
        weight.add_(torch.randn_like(weight) * (0.3 if weight.ndim == 1 else 0.05))
    return model


def module_scores(modules: dict[str, nn.Module], mention: Encoded, entity: Encoded) -> tuple[torch.Tensor, ...]:
    both = [(side.text, side.text_tokens, side.image, side.image_tokens) for side in (mention, entity)]
    found: tuple[torch.Tensor, ...] = modules["interaction"](
        *modules["mention_side"](*both[0]), *modules["entity_side"](*both[1])
    )
    return found


def test_scores_of_the_published_size_agree_with_float64() -> None:
    model = shaken(PUBLISHED)
    sides = random_sides(PUBLISHED, (3, 5))
    found = module_scores(graph_modules(model, torch.float32), *sides)
    plain = model.matcher(*sides)[1:]
    exact = model.double().matcher(*(Encoded(*(part.double() for part in side)) for side in sides))[1:]
    for name, own, float32, reference in zip(SCORES, found, plain, exact, strict=True):
        error, spread = (own - reference).abs().max(), reference.std()
        assert error <= 3 * (float32 - reference).abs().max() + 1e-6, name
        assert error <= 1e-5 * max(1.0, float(spread)), name


def test_vectors_that_cancel_give_the_scores_of_the_plain_model() -> None:
    """z + q = 0 leaves no variance, and a gate of 0 no context: the Gram form subtracts equal numbers there."""
    config = replace(PUBLISHED, text_length=4, text_unit_dim=8)
    model = shaken(config)
    mention, entity = random_sides(config, (2, 4))
    for dual in (model.matcher.vdlu.dual_ent2men, model.matcher.vdlu.dual_men2ent):
        dual.tokens_fc.load_state_dict(dual.cls_fc.state_dict())
        for part in (dual.cls_fc, dual.tokens_fc):
            part.bias.zero_()
    norms = (model.matcher.image_cls_layernorm, model.matcher.image_tokens_layernorm)
    norms[1].load_state_dict(norms[0].state_dict())
    for norm in norms:
        norm.bias.zero_()
    entity.image[1] = -mention.image[0]
    mention.image_tokens[0] = mention.image[0]
    entity.image_tokens[1] = entity.image[1]
    entity.image[2] = mention.image[0]
    found = module_scores(graph_modules(model, torch.float32), mention, entity)[1]
    exact = model.double().matcher(*(Encoded(*(p.double() for p in side)) for side in (mention, entity))).image
    assert found.isfinite().all()
    torch.testing.assert_close(found.double(), exact, rtol=1e-4, atol=1e-4)


def test_pieces_stored_in_half_precision_are_cast_up_and_nothing_else(graphs: Graphs) -> None:
    case = golden("base")
    mentions, entities = (pieces(graphs, case, side) for side in SIDES)
    halves = {name: array.astype(np.float16) for name, array in entities.items()}
    found = graphs("base", "interaction", stored="float16")(mentions | halves)
    expected = graphs("base", "interaction")(mentions | {n: half.astype(np.float32) for n, half in halves.items()})
    for name in SCORES:
        close(found[name], expected[name])
    overall = np.mean([found[name] for name in SCORES], axis=0)
    assert np.abs(overall - case.outputs["scores"]).max() < 0.02  # of scores up to 20
    np.testing.assert_array_equal(ranks(overall), case.outputs["all_ranks"])


def test_no_tensor_is_larger_than_one_attention_matrix_per_pair() -> None:
    modules = graph_modules(shaken(PUBLISHED), torch.float32)
    mention, entity = random_sides(PUBLISHED, (8, 40))
    given = [(side.text, side.text_tokens, side.image, side.image_tokens) for side in (mention, entity)]
    own = [*modules["mention_side"](*given[0]), *modules["entity_side"](*given[1])]
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        modules["interaction"](*own)
    sizes = sorted(event.self_cpu_memory_usage for event in profile.events())
    attention = 8 * 40 * 40 * 40 * 4
    assert sizes[-1] == attention
    # The logits, their softmax (torch does not reuse the memory), and beyond these nothing of that order.
    assert [size for size in sizes if size > attention / 8] == [attention] * 2


def test_the_text_is_read_off_at_the_first_of_the_largest_ids(graphs: Graphs) -> None:
    ids = np.full((3, 14), 109)
    ids[:2, :4] = [[108, 5, 7, 109], [108, 109, 5, 7]]
    ids[2] = [108, 3, 7, 3, 7, 2, 1, 1, 1, 1, 1, 1, 1, 1]
    mask = np.ones_like(ids)
    expected = golden("base").model().encoder.clip_text(torch.as_tensor(ids), torch.as_tensor(mask))[0]
    found = graphs("base", "text_encoder")({"input_ids": ids, "attention_mask": mask})
    close(found["text_embeds"], expected.detach().numpy())


def test_a_picture_may_be_one_patch(tmp_path: Path) -> None:
    config = MimicConfig.from_json({**TINY, "patch_size": TINY["image_size"]})
    model, pixels = shaken(config), np.random.default_rng(3).normal(size=(3, 3, 8, 8)).astype(np.float32)
    exact = model.double()
    embeds, states = exact.encoder.clip_image(torch.as_tensor(pixels).double())
    graph = export(
        graph_modules(exact, torch.float32)["image_encoder"], graph_specs(config)["image_encoder"], tmp_path / "one"
    )
    found = graph({"pixel_values": pixels})
    close(found["image_embeds"], exact.encoder.image_cls_fc(embeds).numpy())
    close(found["image_tokens"], exact.encoder.image_tokens_fc(states).numpy())
    assert found["image_tokens"].shape[1] == 2  # the class token and the picture


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_only_the_weights_of_the_towers_are_stored_in_half_precision(precision: str) -> None:
    modules = graph_modules(golden("base").model(), DTYPES[precision])
    for graph, module in modules.items():
        for name, weight in module.state_dict().items():
            half = graph.endswith("_encoder") and name.rpartition(".")[2].startswith("multiplied_")
            assert weight.dtype == (DTYPES[precision] if half else torch.float32), f"{graph}.{name}"


def test_half_precision_towers_stay_near_the_official_scores(graphs: Graphs) -> None:
    case = golden("base")
    both = pieces(graphs, case, "mention", "fp16") | pieces(graphs, case, "entity", "fp16")
    found = graphs("base", "interaction")(both)
    overall = np.mean([found[name] for name in SCORES], axis=0)
    assert np.abs(overall - case.outputs["scores"]).max() < 0.1  # of scores up to 20


def bundle_weights(modules: dict[str, nn.Module]) -> dict[str, torch.Tensor]:
    return {f"{graph}.{name}": w for graph, module in modules.items() for name, w in module.state_dict().items()}


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_modules_come_back_from_their_weights(case: Case, precision: str) -> None:
    model = case.model()
    weights = bundle_weights(graph_modules(model, DTYPES[precision]))
    loaded = load_modules(model.config, precision, weights)
    again = bundle_weights(loaded)
    assert list(again) == list(weights)
    assert all(torch.equal(again[name], weights[name]) and again[name].dtype == w.dtype for name, w in weights.items())
    ids, mask, pixels = case.encoder_inputs("mention")
    if precision == "fp32":
        close(loaded["text_encoder"](ids, mask)[0], case.outputs["mention_text_embeds"])
        close(loaded["image_encoder"](pixels)[0], case.outputs["mention_image_embeds"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_text_layers": 30}, r"Missing key.*layers\.29\."),
        ({"vocabulary_size": 10**9}, r"size mismatch for multiplied_tokens: .*\[110, 32\]"),
        ({"num_text_layers": 1}, "Unexpected key"),
        ({"image_unit_dim": 29}, "size mismatch for"),
    ],
)
def test_weights_of_another_configuration_are_refused(change: dict[str, int], message: str) -> None:
    model = golden("base").model()
    weights = bundle_weights(graph_modules(model, torch.float32))
    with pytest.raises(RuntimeError, match=message):
        load_modules(replace(model.config, **change), "fp32", weights)


def test_specs_name_what_a_side_gives_and_the_interaction_takes() -> None:
    specs = graph_specs(PUBLISHED)
    given = [tensor.name for graph in ("mention_side", "entity_side") for tensor in specs[graph].outputs]
    assert given == [tensor.name for tensor in specs["interaction"].inputs]
    assert given == [*mention_pieces(PUBLISHED), *entity_pieces(PUBLISHED)]
    assert sum(int(np.prod(shape)) for shape in entity_pieces(PUBLISHED).values()) == 5120
    assert {t.dtype for t in graph_specs(replace(PUBLISHED, entity_dtype="float16"))["interaction"].inputs[6:]} == {
        "float16"
    }
