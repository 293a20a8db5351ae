"""Modality dropout: a training step shows a share of the entities without a modality, and nothing else does."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from mmkg_sdk.errors import DataError
from mmkg_sdk.families.mygo.config import MyGOConfig
from mmkg_sdk.families.mygo.model import MyGO

ENTITIES, VISUAL, TEXT = 4000, 3, 2


def model(rate: float) -> MyGO:
    """Every entity has all its tokens, but the first, which has no text."""
    config = MyGOConfig.from_json(
        {
            "num_entities": ENTITIES,
            "num_relations": 2,
            "visual_codebook_rows": 5,
            "visual_codebook_width": 4,
            "text_codebook_rows": 5,
            "text_codebook_width": 4,
            "num_visual_tokens": VISUAL,
            "num_text_tokens": TEXT,
            "embedding_dim": 4,
            "feedforward_dim": 4,
            "num_heads": 1,
            "structure_dropout": 0.0,
            "visual_dropout": 0.0,
            "text_dropout": 0.0,
            "dropout": 0.0,
        }
    )
    torch.manual_seed(0)
    text_mask = torch.zeros(ENTITIES, TEXT, dtype=torch.bool)
    text_mask[0] = True
    inputs = {
        "visual_tokens": torch.randint(4, (ENTITIES, VISUAL)),
        "visual_mask": torch.zeros(ENTITIES, VISUAL, dtype=torch.bool),
        "text_tokens": torch.randint(4, (ENTITIES, TEXT)),
        "text_mask": text_mask,
    }
    return MyGO(replace(config, modality_dropout=rate), inputs)


def test_a_share_of_the_entities_lacks_each_modality_by_itself() -> None:
    trained = model(0.3).train()
    _, mask = trained.entity_sequences()
    assert not mask[:, :2].any()  # the pooled token and the structure stay
    image, text = mask[:, 2 : 2 + VISUAL], mask[:, 2 + VISUAL :]
    for one in (image, text):
        assert (one.all(dim=1) == one.any(dim=1)).all()  # the whole modality or nothing of it
    no_image, no_text = image[:, 0], text[:, 0]
    assert no_text[0]
    assert no_image.float().mean().item() == pytest.approx(0.3, abs=0.03)
    assert no_text.float().mean().item() == pytest.approx(0.3, abs=0.03)
    assert (no_image & no_text).float().mean().item() == pytest.approx(0.09, abs=0.02)
    _, again = trained.entity_sequences()
    assert (again != mask).any()


def test_who_lacks_a_modality_is_encoded_as_if_it_had_none() -> None:
    trained = model(0.3).train()
    torch.manual_seed(1)
    _, mask = trained.entity_sequences()
    torch.manual_seed(1)
    encoded = trained.encoded()
    bare = model(0.0).eval()
    bare.leave_out("visual")
    rows = mask[:, 2] & ~mask[:, -1]
    torch.testing.assert_close(encoded[rows], bare.encoded()[rows])


def test_answers_and_trainings_without_it_are_as_they_were() -> None:
    assert torch.equal(model(0.9).eval().encoded(), model(0.0).eval().encoded())
    untouched = model(0.0).train()
    torch.manual_seed(2)
    before = torch.get_rng_state()
    untouched.entity_sequences()
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("rate", [1.0, -0.1])
def test_a_rate_that_leaves_nothing_is_refused(rate: float) -> None:
    with pytest.raises(DataError, match="modality_dropout"):
        model(rate)
