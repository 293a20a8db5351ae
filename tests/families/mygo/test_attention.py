"""explain_entity: the attention of the pooled position is that of torch's own attention in the official model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import mmkg_sdk
from mmkg_sdk.bundle import Bundle
from mmkg_sdk.errors import QueryError
from mmkg_sdk.families.mygo.attention import pooled_attention
from mmkg_sdk.families.mygo.compiled_encoder import TOKEN_TABLE_GRAPH
from mmkg_sdk.families.mygo.model import MyGO
from tests.families.mygo.cases import MYGO_CASES, golden_case


def torch_attention(model: MyGO, row: int) -> np.ndarray:
    """[layers, heads, positions] of torch.nn.MultiheadAttention itself, padding included."""
    sequence, mask = model.entity_sequences(torch.tensor([row]))
    found = []
    for layer in model.ent_encoder.layers:
        _, weights = layer.self_attn(  # type: ignore[operator, union-attr]
            sequence, sequence, sequence, key_padding_mask=mask, average_attn_weights=False
        )
        found.append(weights[0, :, 0])
        sequence = layer(sequence, mask)
    return torch.stack(found).numpy()


@pytest.mark.parametrize(
    ("name", "precision", "tolerance"),
    [*((name, "fp32", 1e-6) for name in MYGO_CASES), ("db15k_like", "fp16", 2e-3), ("deep_more_rel", "fp16", 2e-3)],
)
def test_the_attention_is_that_of_the_torch_module(
    name: str, precision: str, tolerance: float, golden_bundles: Callable[..., Path]
) -> None:
    case = golden_case(name)
    model = case.model().double()
    layers, heads = model.config.num_entity_layers, model.config.num_heads
    shown = np.concatenate([np.zeros((model.config.num_entities, 2), bool), *masks(case.inputs)], axis=1) ^ True
    assert (~shown).any(), "some entities lack tokens"
    with mmkg_sdk.load(golden_bundles(name, precision), device="cpu") as opened, torch.no_grad():
        for row in range(model.config.num_entities):
            found = opened.explain_entity(row)
            expected = torch_attention(model, row)
            assert found.attention is not None
            assert found.attention.shape == (layers, heads, shown[row].sum())
            assert not expected[:, :, ~shown[row]].any()
            np.testing.assert_allclose(found.attention, expected[:, :, shown[row]], atol=tolerance)
            weights = expected[-1].mean(axis=0)
            visual = model.config.num_visual_tokens
            sums = [weights[0], weights[1], weights[2 : 2 + visual].sum(), weights[2 + visual :].sum()]
            assert list(found.modalities) == ["pooled", "structure", "image", "text"]
            np.testing.assert_allclose(list(found.modalities.values()), sums, atol=2 * tolerance * shown.shape[1])
            kinds = ["image"] * visual + ["text"] * model.config.num_text_tokens
            tokens = np.concatenate([case.inputs["visual_token_index"][row], case.inputs["text_token_index"][row]])
            own = shown[row, 2:]
            assert [(one.modality, one.token) for one in found.tokens] == [
                (kind, token) for kind, token, is_shown in zip(kinds, tokens.tolist(), own, strict=True) if is_shown
            ]
            np.testing.assert_allclose([one.weight for one in found.tokens], weights[2:][own], atol=tolerance)


def masks(inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
    return [inputs["visual_mask"], inputs["text_mask"]]


def test_the_token_table_and_the_layers_say_the_same(golden_bundle: Path) -> None:
    """Two graphs of one bundle, with weights of their own."""
    bundle = Bundle.open(golden_bundle)
    for row in range(8):
        own = {name: array[row] for name, array in bundle.inputs.items()}
        graphs = (TOKEN_TABLE_GRAPH, "entity_encoder")
        table, layers = (pooled_attention(bundle, own.__getitem__, graph) for graph in graphs)
        assert table.std() > 1e-3
        np.testing.assert_allclose(layers, table, rtol=1e-5, atol=1e-6)


def test_it_is_shown_as_text_and_as_json(golden_bundle: Path) -> None:
    with mmkg_sdk.load(golden_bundle, device="cpu") as opened:
        found = opened.explain_entity("entity 3")
        assert found.to_json() == opened.explain_entity(3).to_json()
        (name, *lines) = repr(found).splitlines()
        assert name == "'entity 3'"
        assert [line.split()[0] for line in lines[:4]] == ["pooled", "structure", "image", "text"]
        heaviest = max(found.tokens, key=lambda one: one.weight)
        assert lines[4].split() == [f"{heaviest.weight:.4f}", heaviest.modality, "token", str(heaviest.token)]
        assert sum(found.to_json()["modalities"].values()) == pytest.approx(1, abs=1e-6)
        with pytest.raises(QueryError, match="unknown entity"):
            opened.explain_entity("nobody")


def test_an_added_entity_is_explained_as_one_of_the_bundle(golden_bundle: Path, tmp_path: Path) -> None:
    """With the tokens and structure of one that was trained it has its weights; saved, it keeps those that it had."""
    with mmkg_sdk.Model.load(golden_bundle, device="cpu") as opened:
        row, inputs = 3, opened.bundle.inputs
        tokens = {
            kind: [inputs[f"{kind}_tokens"][row][~inputs[f"{kind}_mask"][row]].tolist()] for kind in ("visual", "text")
        }
        opened.add_entities(["before"], visual_tokens=[[1, 2]], text_tokens=[[0]])
        opened.add_entities(["twin"], tokens=tokens, structure=inputs["structure"][row : row + 1])
        opened.add_entities(["new", "newer"], visual_tokens=[[3], []], text_tokens=[[], [1, 0, 2]])
        twin, trained = opened.explain_entity("twin"), opened.explain_entity(row)
        assert twin.attention is not None
        assert trained.attention is not None
        np.testing.assert_array_equal(twin.attention, trained.attention)
        assert twin.tokens == trained.tokens
        assert twin.modalities == trained.modalities
        assert twin.entity == "twin"
        newer = opened.explain_entity("newer")
        assert [(one.modality, one.token) for one in newer.tokens] == [("text", 1), ("text", 0), ("text", 2)]
        assert newer.modalities["image"] == 0
        assert sum(newer.modalities.values()) == pytest.approx(1, abs=1e-6)
        opened.save(tmp_path / "grown")
        with mmkg_sdk.Model.load(tmp_path / "grown", device="cpu") as saved:
            for label in ("before", "twin", "new", "newer"):
                assert saved.explain_entity(label).to_json() == opened.explain_entity(label).to_json()
