"""The torch model against the outputs of the authors' code."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from mmkg_sdk.errors import DataError
from mmkg_sdk.families.mkgformer.backbones import initialise_from_backbones
from mmkg_sdk.families.mkgformer.encoder import Images, LayerOutputs, Texts
from mmkg_sdk.families.mkgformer.model import build, build_model
from tests.families.mkgformer.cases import CASES, LP_CASES, MNER_CASES, MRE_CASES, Case, close, golden


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return golden(request.param)


@pytest.fixture(params=LP_CASES)
def links(request: pytest.FixtureRequest) -> Case:
    return golden(request.param)


@pytest.fixture(params=MRE_CASES)
def relations(request: pytest.FixtureRequest) -> Case:
    return golden(request.param)


@pytest.fixture(params=MNER_CASES)
def sentences(request: pytest.FixtureRequest) -> Case:
    return golden(request.param)


def every_layer(model: Any, case: Case) -> list[LayerOutputs]:
    text, vision = model.encoder.embed(case.texts, case.images)
    steps: Iterator[LayerOutputs] = model.encoder.encoder(text, vision, case.texts.attention_mask)
    return list(steps)


def test_every_state_of_both_towers_equals_the_official_one(case: Case) -> None:
    model = case.model()
    close(model.encoder.vision_embeddings(case.images, len(case.texts.input_ids)), case.outputs["vision_embeddings"])
    text, vision = model.encoder.embed(case.texts, case.images)
    layers = every_layer(model, case)
    close(torch.stack([text, *(layer.text for layer in layers)]), case.outputs["text_hidden_states"])
    close(torch.stack([vision, *(layer.vision for layer in layers)]), case.outputs["vision_hidden_states"])


def test_what_the_towers_tell_each_other_equals_the_official_one(case: Case) -> None:
    layers = every_layer(case.model(), case)
    start = case.options["fusion_start_layer"]
    assert [layer.fusion is not None for layer in layers] == [number >= start for number in range(len(layers))]
    close(torch.stack([layer.prefix.key for layer in layers[start - 1 : -1]]), case.outputs["prefix_key"])
    close(torch.stack([layer.prefix.value for layer in layers[start - 1 : -1]]), case.outputs["prefix_value"])
    close(torch.stack([layer.context for layer in layers[start:]]), case.outputs["caf_query_context"])
    fusions = [layer.fusion for layer in layers if layer.fusion is not None]
    close(torch.stack(fusions), case.outputs["caf_output"])


def test_the_encoders_outputs_equal_the_official_ones(case: Case) -> None:
    model = case.model()
    last = model.encoder(case.texts, case.images)
    close(last, case.outputs["last_hidden_state"])
    close(model.encoder.pooler_output(last), case.outputs["pooler_output"])


def test_float64_gives_the_same_numbers(case: Case) -> None:
    model = case.model().double()
    found = model.encoder(case.texts, case.images)
    assert found.dtype == torch.float64
    close(found, case.outputs["last_hidden_state"])
    assert model(case.texts, case.images).dtype == torch.float64


def test_bfloat16_autocast_comes_near(case: Case) -> None:
    with torch.autocast("cpu", torch.bfloat16):
        found = case.model().encoder(case.texts, case.images)
    np.testing.assert_allclose(found.detach().float().numpy(), case.outputs["last_hidden_state"], atol=0.5)


def test_entity_scores_at_the_mask_equal_the_official_ones(links: Case) -> None:
    model = links.model()
    np.testing.assert_array_equal(model.mask_positions(links.texts.input_ids), links.outputs["mask_positions"])
    close(model.head(model.encoder(links.texts, links.images)), links.outputs["logits"])
    close(model(links.texts, links.images), links.outputs["mask_entity_logits"])
    assert model.entity_table().shape == (links.options["num_entities"], model.config.hidden_dim + 1)


def test_filtered_ranks_and_metrics_equal_the_official_ones(links: Case) -> None:
    """Known answers but the target lose 100; rank = 1 + place of the target in descending order, ties by id."""
    scores = links.model()(links.texts, links.images).detach().numpy()
    known, target = links.inputs["labels"].copy(), links.inputs["label"]
    known[np.arange(len(target)), target] = 0
    filtered = scores - 100 * known if links.options["stage"] == "missing_entity_prediction" else scores
    np.testing.assert_allclose(filtered, links.outputs["filtered_scores"], rtol=1e-5, atol=1e-4)
    order = np.argsort(-filtered, axis=1, kind="stable")
    ranks = 1 + np.argmax(order == target[:, None], axis=1)
    np.testing.assert_array_equal(ranks, links.outputs["ranks"])
    expected = links.options["official_metrics"]
    assert (1 / ranks).mean() == pytest.approx(expected["Test/mrr"])
    assert (ranks <= 10).mean() == pytest.approx(expected["Test/hits10"])


def test_relation_scores_equal_the_official_ones(relations: Case) -> None:
    model, outputs = relations.model(), relations.outputs
    positions = model.marker_positions(relations.texts.input_ids)
    np.testing.assert_array_equal(positions[:, 0], outputs["head_index"])
    np.testing.assert_array_equal(positions[:, 1], outputs["tail_index"])
    close(model.pair_states(relations.texts, relations.images), outputs["entity_hidden_state"])
    scores = model(relations.texts, relations.images)
    close(scores, outputs["logits"])
    np.testing.assert_array_equal(scores.argmax(dim=1), outputs["predictions"])


def test_emissions_and_tags_equal_the_official_ones(sentences: Case) -> None:
    model = sentences.model()
    close(model(sentences.texts, sentences.images), sentences.outputs["emissions"])
    np.testing.assert_array_equal(model.tags(sentences.texts, sentences.images), sentences.outputs["decoded_tags"])


def test_the_main_image_is_not_used_by_the_sentence_tasks(relations: Case) -> None:
    model = relations.model()
    without = model(relations.texts, relations.images._replace(main=None))
    close(without, relations.outputs["logits"])


@pytest.mark.parametrize(("name", "tokens"), [("lp_official12", 16 + 12), ("mre_official12", 1 + 48)])
def test_an_absent_group_has_no_tokens(name: str, tokens: int) -> None:
    case = golden(name)
    model = case.model(num_rcnn_images=None)
    found = model.encoder.vision_embeddings(case.images._replace(rcnn=None), len(case.texts.input_ids))
    assert found.shape[1] == tokens == model.config.visual_tokens
    np.testing.assert_allclose(found.detach().numpy(), case.outputs["vision_embeddings"][:, :tokens], atol=1e-4)
    assert model(case.texts, case.images._replace(rcnn=None)).isfinite().all()


def test_nothing_is_fused_when_the_first_fused_layer_is_behind_the_last() -> None:
    case = golden("mre_small")
    model = case.model(fusion_start_layer=3)
    assert not any(layer.fusion is not None for layer in every_layer(model, case))
    dark = Images(aux=torch.zeros_like(case.tensor("aux_values")), rcnn=case.images.rcnn)
    torch.testing.assert_close(model(case.texts, dark), model(case.texts, case.images))


def padded(texts: Texts, extra: int) -> Texts:
    return Texts(*(torch.nn.functional.pad(part, (0, extra)) for part in texts if part is not None))


def test_padding_changes_scores_unless_the_prefix_is_masked() -> None:
    case = golden("lp_official12")
    longer = padded(case.texts, 3)
    plain, masked = case.model(), case.model(mask_prefix=True)
    assert (plain(longer, case.images) - plain(case.texts, case.images)).abs().max() > 1e-3
    torch.testing.assert_close(masked(longer, case.images), masked(case.texts, case.images), rtol=1e-5, atol=1e-5)


def test_absent_token_types_are_zeros_and_others_count() -> None:
    case = golden("mner_small")
    model, zeros = case.model(), torch.zeros_like(case.texts.input_ids)
    absent, zero, one = (
        model(case.texts._replace(token_type_ids=types), case.images) for types in (None, zeros, zeros + 1)
    )
    torch.testing.assert_close(absent, zero)
    assert (one - zero).abs().max() > 1e-2


def test_a_text_without_its_mask_or_with_a_marker_twice_is_refused() -> None:
    links, relations = golden("lp_official12"), golden("mre_small")
    model = links.model()
    ids = links.texts.input_ids.clone()
    ids[2][ids[2] == model.config.mask_token_id] = 5
    with pytest.raises(DataError, match=r"row 2 has 0 times \[MASK\] \(token 3\); expected exactly one"):
        model.check_texts(ids)
    ids = relations.texts.input_ids.clone()
    ids[1, -1] = 122
    with pytest.raises(DataError, match="row 1 has 2 times <o>"):
        relations.model().check_texts(ids)


def test_images_of_the_wrong_number_of_patches_are_refused() -> None:
    case = golden("mre_official12")
    fewer = case.images._replace(aux=case.tensor("aux_values")[:, :2])
    with pytest.raises(DataError, match="aux images make 32 patches; expected 48"):
        case.model()(case.texts, fewer)


def test_fresh_weights_give_finite_outputs_and_the_official_names(case: Case) -> None:
    model = case.model()
    fresh = build(model.config.to_json(), {})
    assert type(fresh) is type(model)
    assert list(fresh.state_dict()) == list(model.state_dict())
    assert fresh.eval()(case.texts, case.images).isfinite().all()
    table = fresh.encoder.get_parameter("vision_embeddings.rcnn_position_embedding.weight")
    assert 0.8 < table.std() < 1.2


@pytest.fixture
def backbones(tmp_path: Path) -> tuple[str, str]:
    """A BERT and a CLIP vision tower with the sizes of mre_small, as folders that transformers wrote."""
    transformers = pytest.importorskip("transformers")
    sizes = {"hidden_size": 48, "num_hidden_layers": 3, "num_attention_heads": 3}
    bert = transformers.BertConfig(vocab_size=120, intermediate_size=80, max_position_embeddings=20, **sizes)
    clip = transformers.CLIPVisionConfig(intermediate_size=96, image_size=32, patch_size=16, **sizes)
    transformers.BertModel(bert).save_pretrained(tmp_path / "bert")
    transformers.CLIPVisionModel(clip).save_pretrained(tmp_path / "clip")
    return str(tmp_path / "bert"), str(tmp_path / "clip")


def test_public_backbones_give_the_towers_their_weights(backbones: tuple[str, str]) -> None:
    import transformers

    case = golden("mre_small")
    model = build_model(case.model().config).eval()
    added = model.encoder.text_embeddings.word_embeddings.weight[120:].clone()
    initialise_from_backbones(model, text=backbones[0], vision=backbones[1])
    torch.testing.assert_close(model.encoder.text_embeddings.word_embeddings.weight[120:], added)
    bert = transformers.BertModel.from_pretrained(backbones[0]).eval()
    texts = case.texts._replace(input_ids=case.texts.input_ids.clamp(max=119))  # BERT has no markers
    ids, mask, types = texts
    expected = bert(input_ids=ids, attention_mask=mask, token_type_ids=types, output_hidden_states=True)
    # Without fusion the text tower is BERT.
    alone = build_model(case.model(fusion_start_layer=3).config).eval()
    alone.load_state_dict(model.state_dict())
    kept = mask.bool()
    torch.testing.assert_close(
        alone.encoder(texts, case.images)[kept], expected.last_hidden_state[kept], rtol=1e-4, atol=1e-4
    )
    clip = transformers.CLIPVisionModel.from_pretrained(backbones[1]).state_dict()
    name = next(name for name in clip if name.endswith("encoder.layers.2.mlp.fc1.weight"))
    torch.testing.assert_close(model.state_dict()["model.encoder.vision_layers.2.mlp.fc1.weight"], clip[name])


def test_backbones_of_other_sizes_and_absent_ones_are_refused(backbones: tuple[str, str], tmp_path: Path) -> None:
    text, vision = backbones
    config = golden("mre_small").model().config
    wider = build_model(replace(config, text_feedforward_dim=88))
    with pytest.raises(
        DataError, match=r"do not fit the configuration.*dense\.weight has shape \[80, 48\], expected \[88"
    ):
        initialise_from_backbones(wider, text=text, vision=vision)
    deeper = build_model(replace(config, num_layers=4))
    with pytest.raises(DataError, match=r"vision_layers\.3\.\S+ is missing"):
        initialise_from_backbones(deeper, text=text, vision=vision)
    with pytest.raises(DataError, match="not a CLIPVisionModel"):
        initialise_from_backbones(golden("mre_small").model(), text=text, vision=str(tmp_path / "absent"))


def without(folder: str, part: str) -> None:
    """Take the weights with this part in their names out of a folder that transformers wrote."""
    path = f"{folder}/model.safetensors"
    save_file({n: t for n, t in load_file(path).items() if part not in n}, path, metadata={"format": "pt"})


@pytest.mark.parametrize("lacking", [0, 1])
def test_weights_that_a_backbone_lacks_do_not_come_from_chance(lacking: int, backbones: tuple[str, str]) -> None:
    text, vision = backbones
    model = build_model(golden("mre_small").model().config)
    without(text, "pooler")  # no task uses it, and a BERT that was saved under a head has none
    initialise_from_backbones(model, text=text, vision=vision)
    without(backbones[lacking], ("layer.1.output", "layers.2.mlp")[lacking])
    with pytest.raises(DataError, match=r"has no weights of .*(layer\.1|mlp).* would come from chance"):
        initialise_from_backbones(model, text=text, vision=vision)
