"""The torch model against the outputs of the authors' code."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from mmkg_sdk.errors import DataError
from mmkg_sdk.families.mimic.config import MimicConfig
from mmkg_sdk.families.mimic.model import Encoded, Mimic, Scores, _takes_pair_masks, build, pair_mask, pretrained_clip
from tests.families.mimic.cases import CASES, SIDES, Case, close, golden, ranks

TINY = MimicConfig(
    vocabulary_size=30,
    text_length=6,
    text_positions=8,
    text_width=16,
    text_feedforward_dim=20,
    num_text_layers=1,
    num_text_heads=2,
    image_size=8,
    patch_size=4,
    image_width=12,
    image_feedforward_dim=20,
    num_image_layers=1,
    num_image_heads=3,
    image_feature_dim=7,
    text_unit_dim=5,
    image_unit_dim=6,
    cross_modal_unit_dim=9,
)


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return golden(request.param)


@pytest.mark.parametrize("side", SIDES)
def test_every_output_of_the_encoder_equals_the_official_one(case: Case, side: str) -> None:
    encoder = case.model().encoder
    input_ids, attention_mask, pixels = case.encoder_inputs(side)
    text, text_tokens = encoder.clip_text(input_ids, attention_mask)
    image, states = encoder.clip_image(pixels)
    close(text, case.outputs[f"{side}_clip_text_embeds"])
    close(image, case.outputs[f"{side}_clip_image_embeds"])
    close(states, case.outputs[f"{side}_clip_vision_last_hidden_state"])
    close(text_tokens, case.outputs[f"{side}_text_seq_tokens"])
    for found, expected in zip(encoder(input_ids, attention_mask, pixels), case.encoded(side), strict=True):
        close(found, expected.numpy())


@pytest.mark.parametrize("side", SIDES)
def test_the_shared_norms_equal_the_official_ones(case: Case, side: str) -> None:
    found = case.model().matcher.normed(case.encoded(side))
    for name, part in zip(("text_cls", "image_cls", "text_tokens", "image_tokens"), found, strict=True):
        close(part, case.outputs[f"{side}_{name}_layernorm"])


def test_every_stage_of_the_units_equals_the_official_one(case: Case) -> None:
    matcher, outputs = case.model().matcher, case.outputs
    mention, entity = (matcher.normed(case.encoded(side)) for side in SIDES)
    close(matcher.tglu.context(mention.text_tokens, entity.text_tokens), outputs["tglu_context"])
    close(matcher.tglu.local_scores(mention, entity), outputs["tglu_g2l"])
    close(mention.text @ entity.text.T, outputs["tglu_g2g"])
    vdlu = matcher.vdlu
    close(vdlu.dual_ent2men(entity.image, mention.image, mention.image_tokens), outputs["vdlu_ent2men"])
    close(vdlu.dual_men2ent(mention.image, entity.image, entity.image_tokens), outputs["vdlu_men2ent"])
    close(matcher.cmfu.fuse(mention), outputs["cmfu_mention_context"])
    close(matcher.cmfu.fuse(entity), outputs["cmfu_entity_context"])
    for name, unit in (("tglu", matcher.tglu), ("vdlu", matcher.vdlu), ("cmfu", matcher.cmfu)):
        close(unit(mention, entity), outputs[f"{name}_score"])


def scored(model: Mimic, case: Case, chunk: int) -> Scores:
    """From tokens and pixels to scores, `chunk` entities at a time."""
    mention, entity = (model.encoder(*case.encoder_inputs(side)) for side in SIDES)
    chunks = [[part[i : i + chunk] for part in entity] for i in range(0, len(entity.text), chunk)]
    found = [model.matcher(mention, Encoded(*chunk)) for chunk in chunks]
    return Scores(*(torch.cat(parts, dim=1) for parts in zip(*found, strict=True)))


@pytest.mark.parametrize("chunk", [None, 1, 100])
def test_scores_and_ranks_equal_the_official_ones_however_they_are_chunked(case: Case, chunk: int | None) -> None:
    scores = scored(case.model(), case, chunk or case.options["eval_chunk_size"])
    for name, found in zip(("scores", "tglu_score", "vdlu_score", "cmfu_score"), scores, strict=True):
        close(found, case.outputs[name])
    found_ranks = ranks(scores.overall.detach().numpy())
    np.testing.assert_array_equal(found_ranks, case.outputs["all_ranks"])
    answers = np.take_along_axis(found_ranks, case.inputs["answer"][:, None], axis=1)[:, 0]
    np.testing.assert_array_equal(answers, case.outputs["rank_of_answer"])
    expected = case.options["official_metrics"]
    assert (1 / answers).mean() == pytest.approx(expected["Test/mrr"], rel=1e-6)
    assert [(answers <= k).mean() for k in (1, 3, 5, 10, 20)] == [
        pytest.approx(expected[f"Test/hits{k}"]) for k in (1, 3, 5, 10, 20)
    ]


def test_float64_runs_through_and_agrees_with_float32(case: Case) -> None:
    model = case.model().double()
    sides = [case.encoder_inputs(side) for side in SIDES]
    mention, entity = (model.encoder(ids, mask, pixels.double()) for ids, mask, pixels in sides)
    scores = model.matcher(mention, entity)
    assert {part.dtype for part in (*mention, *entity, *scores)} == {torch.float64}
    close(scores.overall.float(), case.outputs["scores"])


def test_float64_keeps_its_digits_through_both_towers() -> None:
    """Summed in another order, float64 results differ by 1e-15 or so; a float32 step inside would leave 1e-8."""
    torch.manual_seed(0)
    model = build(TINY.to_json(), {}).double().eval()
    ids, mask, pixels = torch.randint(0, 30, (3, 6)), torch.ones(3, 6, dtype=torch.int64), torch.randn(3, 3, 8, 8)
    mask[1, 4:] = 0
    together = model.encoder(ids, mask, pixels.double())
    for row in range(3):
        alone = model.encoder(ids[row : row + 1], mask[row : row + 1], pixels[row : row + 1].double())
        for found, expected in zip(alone, together, strict=True):
            torch.testing.assert_close(found, expected[row : row + 1], rtol=1e-12, atol=1e-12)


def test_the_text_is_read_off_at_the_first_of_the_largest_ids() -> None:
    model = build(TINY.to_json(), {}).eval()
    ids = torch.tensor([[28, 5, 29, 29, 29, 29], [28, 29, 5, 7, 29, 29], [28, 3, 7, 3, 7, 2]])
    text, tokens = model.encoder.clip_text(ids, torch.ones_like(ids))
    pooled = model.encoder.clip.text_projection(tokens[torch.arange(3), torch.tensor([2, 1, 0])])
    torch.testing.assert_close(text, pooled / pooled.norm(dim=1, keepdim=True))


def test_what_mimic_never_uses_is_not_trained() -> None:
    frozen = {name for name, weight in Mimic(TINY).named_parameters() if not weight.requires_grad}
    unused = {f"matcher.cmfu.context_layer_norm.{part}" for part in ("weight", "bias")}
    assert frozen == {"encoder.clip.logit_scale", *unused}


def test_a_pretrained_clip_gives_sizes_and_weights(tmp_path: Path) -> None:
    first = Mimic(TINY)
    first.encoder.clip.save_pretrained(tmp_path)
    sizes, weights = pretrained_clip(tmp_path)
    own = {name: size for name, size in TINY.to_json().items() if name not in sizes}
    assert set(own) == {
        "text_length",
        "image_feature_dim",
        "text_unit_dim",
        "image_unit_dim",
        "cross_modal_unit_dim",
        "without_unit",
        "pretrained_clip",
        "tokenizer",
        "entity_dtype",
    }
    second = build(own | sizes, {})
    found = second.load_state_dict(weights, strict=False)
    assert not found.unexpected_keys
    assert all(not name.startswith("encoder.clip.") for name in found.missing_keys)
    ids = torch.tensor([[28, 5, 29, 29, 29, 29]])
    expected = first.eval().encoder.clip_text(ids, torch.ones_like(ids))
    torch.testing.assert_close(second.eval().encoder.clip_text(ids, torch.ones_like(ids)), expected)


def test_what_is_no_usable_clip_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not a CLIP model"):
        pretrained_clip(tmp_path / "absent")
    clip = Mimic(TINY).encoder.clip
    clip.save_pretrained(tmp_path)
    kept = {n: t for n, t in load_file(tmp_path / "model.safetensors").items() if not n.startswith("vision_model.")}
    save_file(kept, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(DataError, match=r"has no weights of vision_model\..* would come from chance"):
        pretrained_clip(tmp_path)
    clip.config.vision_config.hidden_act = "gelu"
    clip.save_pretrained(tmp_path)
    with pytest.raises(DataError, match="vision tower has activation 'gelu'"):
        pretrained_clip(tmp_path)


def test_a_mask_by_pair_stands_for_the_mask_by_token_and_the_past() -> None:
    mask = torch.tensor([[1, 1, 0], [1, 1, 1]])
    expected = [[[1, 0, 0], [1, 1, 0], [1, 1, 0]], [[1, 0, 0], [1, 1, 0], [1, 1, 1]]]
    assert pair_mask(mask)[:, 0].int().tolist() == expected


def test_clip_reads_the_same_from_a_mask_by_pair(case: Case) -> None:
    """What a GPU's training gives it; where transformers takes masks by token only, that goes on as it was."""
    if not _takes_pair_masks():
        pytest.skip("this transformers takes masks by token only")
    tower = case.model().encoder.clip.text_model
    input_ids, mask, _ = case.encoder_inputs("mention")
    with torch.no_grad():
        expected, found = (tower(input_ids=input_ids, attention_mask=given) for given in (mask, pair_mask(mask)))
    torch.testing.assert_close(found.last_hidden_state, expected.last_hidden_state)
    torch.testing.assert_close(found.pooler_output, expected.pooler_output)
